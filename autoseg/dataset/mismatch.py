"""Images that should lie on one grid and do not, told so that a person sees the difference.

Comes in: files with their grids. Goes out: a few lines of text, or None.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from autoseg.geometry import Grid


class Part(NamedTuple):
    """One file among those that should share a grid.

    Attributes:
        role: what it is, "label" or "channel 1".
        path: the file, as it is shown.
        grid: the grid it lies on.
    """

    role: str
    path: Path
    grid: Grid


def describe_mismatch(what: str, parts: Sequence[Part]) -> str | None:
    """Shows the first part and the first that differs from it; None where all agree.

    Args:
        what: they are, in the plural.
        parts: at least one.

    >>> from autoseg.geometry import plain_grid
    >>> image = Part("image", Path("a_0000.nii.gz"), plain_grid((36, 50, 35), (1.0, 1.0, 1.0)))
    >>> label = Part("label", Path("a.nii.gz"), plain_grid((36, 50, 36), (1.0, 1.0, 1.0)))
    >>> print(describe_mismatch("label and image", [image, label]))
    label and image lie on different grids
      image  36 × 50 × 35 voxels of 1.00 × 1.00 × 1.00 mm   a_0000.nii.gz
      label  36 × 50 × 36 voxels of 1.00 × 1.00 × 1.00 mm   a.nii.gz
    """
    first = parts[0]
    for other in parts[1:]:
        if differing := first.grid.differs_from(other.grid):
            shown = [(part.role, _shown(part.grid, differing), str(part.path)) for part in (first, other)]
            widths = [max(len(row[column]) for row in shown) for column in (0, 1)]
            rows = [f"  {role:<{widths[0]}}  {grid:<{widths[1]}}   {path}" for role, grid, path in shown]
            return "\n".join([f"{what} lie on different grids", *rows])
    return None


def _shown(grid: Grid, differing: str) -> str:
    """The grid as `str` shows it, and the property that differs where that leaves it out."""
    if differing == "origin":
        return f"{grid}, origin ({_numbers(grid.origin)}) mm"
    if differing == "direction":
        return f"{grid}, direction ({_numbers(grid.direction)})"
    return str(grid)


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value + 0.0:.2f}" for value in values)  # + 0.0 turns -0.0 into 0.0
