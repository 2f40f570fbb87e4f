"""The order of axes, case by case."""

from __future__ import annotations

import pytest

from autoseg.planner.axis_order import axis_order


@pytest.mark.parametrize(
    ("spacing_mm", "flat", "expected"),
    [
        ((3.0, 1.0, 1.0), False, (0, 1, 2)),
        ((1.0, 3.0, 1.0), False, (1, 0, 2)),
        ((1.0, 1.0, 3.0), False, (2, 0, 1)),
        ((1.0, 1.0, 1.0), False, (0, 1, 2)),
        ((1.0, 2.0, 2.0), False, (1, 0, 2)),  # of two coarsest, the first
        ((1.0, 2.0, 3.0), True, (0, 1, 2)),  # a picture's own plane
    ],
)
def test_coarsest_first(spacing_mm, flat, expected):
    assert axis_order(spacing_mm, flat).value == expected


@pytest.mark.parametrize(
    ("spacing_mm", "flat", "reason"),
    [
        ((1.0, 1.0, 3.0), False, "With voxels of 1.00 × 1.00 × 3.00 mm the axis x is the coarsest. It comes first,"),
        ((1.0, 1.0, 1.0), False, "All axes are sampled alike (1.00 mm), so they stay as they are."),
        ((1.0, 1.0, 1.0), True, "The images are 2-D; their axes stay as they are."),
    ],
)
def test_reasons(spacing_mm, flat, reason):
    assert axis_order(spacing_mm, flat).reason.startswith(reason)
