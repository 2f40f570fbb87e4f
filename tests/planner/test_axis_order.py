"""The order of axes, case by case."""

from __future__ import annotations

import pytest

from autoseg.planner.axis_order import axis_order

CUBE = (50, 50, 50)


@pytest.mark.parametrize(
    ("spacing_mm", "shape", "flat", "expected"),
    [
        ((3.0, 1.0, 1.0), CUBE, False, (0, 1, 2)),
        ((1.0, 3.0, 1.0), CUBE, False, (1, 0, 2)),
        ((1.0, 1.0, 3.0), CUBE, False, (2, 0, 1)),
        ((1.0, 1.0, 1.0), CUBE, False, (0, 1, 2)),
        ((1.0, 2.0, 2.0), CUBE, False, (1, 0, 2)),  # of two coarsest, the first
        ((1.0, 2.0, 3.0), (1, 50, 50), True, (0, 1, 2)),  # a picture's own plane
        ((0.5, 1.0, 1.0), (1, 50, 50), False, (0, 1, 2)),  # one slice, finer than its pixels
        ((2.0, 0.5, 1.0), (50, 1, 50), False, (1, 0, 2)),
        ((1.0, 2.0, 1.0), (1, 1, 50), False, (1, 0, 2)),  # of two single ones, the coarsest
    ],
)
def test_coarsest_or_single_first(spacing_mm, shape, flat, expected):
    assert axis_order(spacing_mm, shape, flat).value == expected


def test_nnunet_looks_at_spacing_alone():
    assert axis_order((2.0, 0.5, 1.0), (50, 1, 50), single_first=False).value == (0, 1, 2)


@pytest.mark.parametrize(
    ("spacing_mm", "shape", "flat", "reason"),
    [
        ((1.0, 1.0, 3.0), CUBE, False, "With voxels of 1.00 × 1.00 × 3.00 mm the axis x is the coarsest. It comes"),
        ((1.0, 1.0, 1.0), CUBE, False, "All axes are sampled alike (1.00 mm), so they stay as they are."),
        ((1.0, 1.0, 1.0), CUBE, True, "The images are 2-D; their axes stay as they are."),
        (
            (0.5, 1.0, 1.0),
            (1, 50, 50),
            False,
            "The median image has one voxel along z, so that axis comes first: across",
        ),
    ],
)
def test_reasons(spacing_mm, shape, flat, reason):
    assert axis_order(spacing_mm, shape, flat).reason.startswith(reason)
