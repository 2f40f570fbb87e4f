"""Target spacing and median shape, worked by hand."""

from __future__ import annotations

import pytest

from autoseg.planner.spacing import median_resampled_shape, target_spacing


@pytest.mark.parametrize(
    ("spacings_mm", "shape", "expected"),
    [
        # all alike
        ([(1, 1, 1)] * 3, (40, 40, 40), (1, 1, 1)),
        # the median, axis by axis
        ([(1, 2, 3), (2, 3, 1), (3, 1, 2)], (40, 40, 40), (2, 2, 2)),
        # coarse and short along z: 10th percentile of 5, 10, 10
        ([(5, 1, 1), (10, 1, 1), (10, 1, 1)], (12, 256, 256), (6, 1, 1)),
        # the same along x
        ([(1, 1, 5), (1, 1, 10), (1, 1, 10)], (256, 256, 12), (1, 1, 6)),
        # coarse but not short
        ([(5, 1, 1), (10, 1, 1), (10, 1, 1)], (90, 256, 256), (10, 1, 1)),
        # exactly 3 times coarser is not coarse
        ([(1, 1, 1), (3, 1, 1), (3, 1, 1)], (12, 256, 256), (3, 1, 1)),
        # exactly 3 times shorter is not short
        ([(5, 1, 1), (10, 1, 1), (10, 1, 1)], (12, 36, 36), (10, 1, 1)),
        # the 10th percentile would be finer than the slices: just above them, so that z stays coarsest
        ([(0.2, 1, 1), (0.2, 1, 1), (10, 1, 1), (10, 1, 1), (10, 1, 1)], (12, 256, 256), (1.00001, 1, 1)),
    ],
)
def test_target_spacing(spacings_mm, shape, expected):
    assert target_spacing(spacings_mm, [shape] * len(spacings_mm)).value == pytest.approx(expected, abs=1e-9)


def test_pictures_keep_their_median_whatever_z():
    decided = target_spacing([(1.0, 0.1, 0.1), (1.0, 0.2, 0.2), (2.0, 0.2, 0.3)], [(1, 512, 512)] * 3, flat=True)
    assert decided.value == (1.0, 0.2, 0.2)


def test_reason_has_the_numbers():
    decided = target_spacing([(5, 1, 1), (10, 1, 1), (10, 1, 1)], [(12, 256, 256)] * 3)
    assert decided.reason == (
        "The median voxel of the 3 cases measures 10.00 × 1.00 × 1.00 mm. Axis z is more than 3 times coarser than "
        "the others and short (12 voxels): it gets 6.00 mm instead, so that the detail of the finest tenth of the "
        "cases is kept."
    )


@pytest.mark.parametrize(
    ("spacings_mm", "shapes", "target_mm", "expected"),
    [
        ([(2, 1, 1)], [(10, 64, 64)], (1, 1, 1), (20, 64, 64)),
        ([(1, 1, 1), (1, 1, 1)], [(10, 64, 64), (11, 64, 64)], (1, 1, 1), (10.5, 64, 64)),
        ([(0.5, 1, 1)], [(5, 7, 9)], (1, 1, 1), (2, 7, 9)),  # 2.5 is rounded to the even 2
    ],
)
def test_median_resampled_shape(spacings_mm, shapes, target_mm, expected):
    assert median_resampled_shape(spacings_mm, shapes, target_mm) == expected
