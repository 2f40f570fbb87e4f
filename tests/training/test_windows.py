"""Windows of a grid against the paper's words, and counted draws."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from autoseg.plan.sampling import SlidingGrid
from autoseg.training.windows import find_windows, kept_windows

TARGETS = {"kidney": (1,), "tumour": (2,)}


def starts_of(shape, patch, **grid):
    return sorted(map(tuple, kept_windows(shape, patch, SlidingGrid(**grid)).tolist()))


def test_stride_of_three_quarters_of_the_patch():
    """80 × 160 × 160 with stride 60 × 120 × 120; of the last windows more than 40 × 80 × 80 lies inside."""
    z, y = (0, 60, 120), (0, 120, 240)
    expected = sorted((a, b, c) for a in z for b in y for c in y)
    assert starts_of((161, 321, 321), (80, 160, 160)) == expected


@pytest.mark.parametrize(
    ("shape", "along", "kept"),
    [
        ((160, 321, 321), "all", False),  # of the last window 40 slices are inside: not more than half
        ((161, 320, 321), "all", False),
        ((161, 321, 321), "all", True),
        ((160, 320, 320), "any", False),
        ((160, 320, 321), "any", True),  # one axis is enough
        ((161, 320, 320), "any", True),
    ],
)
def test_the_edge_rule_has_two_readings(shape, along, kept):
    assert ((120, 240, 240) in starts_of(shape, (80, 160, 160), along=along)) is kept


@pytest.mark.parametrize(
    ("overlap", "inside", "expected"),
    [
        (0.0, 0.5, [0, 40, 80]),
        (0.0, 0.8, [0, 40]),
        (0.5, 0.5, [0, 20, 40, 60, 80]),
        (0.5, 0.0, [0, 20, 40, 60, 80, 100]),
    ],
)
def test_overlap_and_share(overlap, inside, expected):
    assert [start for (start,) in starts_of((110,), (40,), overlap=overlap, inside=inside)] == expected


def test_a_volume_smaller_than_the_patch_lies_in_its_middle():
    assert starts_of((10, 40, 100), (20, 40, 80)) == [(-5, 0, 0)]
    assert starts_of((10, 40, 101), (20, 40, 80)) == [(-5, 0, 0), (-5, 0, 60)]


def test_a_window_with_tumour_is_four_times_as_likely():
    """Ten windows side by side, two of which hold tumour and three kidney: 2 × 4 + 8 × 1 = 16 shares."""
    class_map = np.zeros((2, 4, 40), np.int16)
    class_map[:, :, 2:10] = 1  # windows 0, 1 and 2
    class_map[0, 0, 7:9] = 2  # windows 1 and 2, by one voxel each
    windows = find_windows(class_map, (2, 4, 4), SlidingGrid(overlap=0.0, likelier={"tumour": 4.0}), TARGETS)
    np.testing.assert_allclose(windows.likely, [1 / 16, 4 / 16, 4 / 16, *[1 / 16] * 7])
    generator = np.random.default_rng(0)
    drawn = Counter(windows.draw(generator)[2] for _ in range(16_000))
    for place in range(10):
        expected = 4000 if place in (1, 2) else 1000
        assert abs(drawn[4 * place] - expected) < 4 * np.sqrt(expected)


def test_of_several_labels_the_largest_number_counts():
    class_map = np.array([[[1, 0, 2, 1, 0, 0]]], np.int16)
    grid = SlidingGrid(overlap=0.0, likelier={"kidney": 2.0, "tumour": 6.0})
    np.testing.assert_allclose(find_windows(class_map, (1, 1, 2), grid, TARGETS).likely, [2 / 9, 6 / 9, 1 / 9])
