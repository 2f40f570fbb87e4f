"""When two grids are the same grid, and how many voxels one has at another voxel size."""

from __future__ import annotations

import math
from typing import Any

import pytest

from autoseg.geometry import Grid, plain_grid, resampled_shape

GRID = Grid((10, 20, 30), (5.0, 0.8, 0.8), (-10.0, 4.0, 100.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))


def turned(degrees: float) -> tuple[float, ...]:
    """Direction of a grid turned about z."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return (cosine, -sine, 0.0, sine, cosine, 0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({}, None),
        ({"shape": (10, 20, 31)}, "shape"),
        ({"dimensions": 2}, "shape"),
        ({"spacing_mm": (5.001, 0.8, 0.8)}, None),  # 0.02 %
        ({"spacing_mm": (5.0, 0.802, 0.8)}, "spacing"),  # 0.25 %
        ({"origin": (-10.0, 4.05, 100.0)}, None),
        ({"origin": (-10.0, 4.1, 100.0)}, "origin"),  # an eighth of a voxel
        ({"direction": turned(0.5)}, None),
        ({"direction": turned(1.0)}, "direction"),
        ({"shape": (1, 1, 1), "origin": (0.0, 0.0, 0.0)}, "shape"),  # the first of several
    ],
)
def test_differs_from(change: dict[str, Any], difference: str | None) -> None:
    other = GRID._replace(**change)
    assert GRID.differs_from(other) == difference
    assert other.differs_from(GRID) == difference


@pytest.mark.parametrize(
    ("grid", "text"),
    [
        (GRID, "10 × 20 × 30 voxels of 5.00 × 0.80 × 0.80 mm"),
        (Grid((1, 20, 30), (1.0, 0.5, 0.25), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0), 2), "20 × 30 voxels of 0.50 × 0.25 mm"),
    ],
)
def test_text(grid: Grid, text: str) -> None:
    assert str(grid) == text


def test_plain_grid() -> None:
    grid = plain_grid((1, 2, 3), (3.0, 2.0, 1.0))
    assert grid == Grid((1, 2, 3), (3.0, 2.0, 1.0), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1), 3)


@pytest.mark.parametrize(
    ("shape", "spacing", "new_spacing", "expected"),
    [
        ((10, 20, 30), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (10, 20, 30)),
        ((10, 20, 30), (5.0, 0.5, 0.5), (2.5, 1.0, 0.25), (20, 10, 60)),
        ((10, 20, 30), (1.0, 1.0, 1.0), (3.0, 3.0, 3.1), (3, 7, 10)),
        ((1, 20, 30), (1.0, 1.0, 1.0), (9.0, 1.0, 1.0), (1, 20, 30)),
    ],
)
def test_resampled_shape(
    shape: tuple[int, ...], spacing: tuple[float, ...], new_spacing: tuple[float, ...], expected: tuple[int, ...]
) -> None:
    assert resampled_shape(shape, spacing, new_spacing) == expected
