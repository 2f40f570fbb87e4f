"""Where an image's voxels lie in the patient.

Comes in: what an image file says of its grid. Goes out: `Grid`, which travels with every
image and is written back unchanged with every prediction.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from autoseg.phrases import by

Spacing = tuple[float, ...]  # mm, in the order of the array's axes
Shape = tuple[int, ...]  # voxels, in the order of the array's axes

FINEST_MM, COARSEST_MM = 1e-6, 1e5  # from a nanometre to a hundred metres; what lies beyond is no voxel but a slip
LONGEST_AXIS = 10**6  # voxels; no image is longer


class Grid(NamedTuple):
    """The grid an image is sampled on.

    Attributes:
        shape: voxels along (z, y, x). A 2-D image has z = 1.
        spacing_mm: mm between voxel centres along (z, y, x). A 2-D image has z = 1.0.
        origin: mm, position of the first voxel, as the file stores it (x, y, z).
        direction: direction cosines, row by row, as the file stores them (9 numbers; 4 in 2-D).
        dimensions: 2 or 3, those of the file.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin: tuple[float, ...]
    direction: tuple[float, ...]
    dimensions: int = 3

    def differs_from(self, other: Grid) -> str | None:
        """The first property in which two grids differ, or None if they agree.

        Spacing may differ by 0.1 %, origin by a tenth of a voxel and direction cosines by
        0.01: less than any image viewer shows, more than the rounding of file formats.
        """
        if self.dimensions != other.dimensions or self.shape != other.shape:
            return "shape"
        if not np.allclose(self.spacing_mm, other.spacing_mm, rtol=1e-3, atol=0):
            return "spacing"
        if not np.allclose(self.origin, other.origin, rtol=0, atol=0.1 * min(self.spacing_mm)):
            return "origin"
        if not np.allclose(self.direction, other.direction, rtol=0, atol=1e-2):
            return "direction"
        return None

    def __str__(self) -> str:
        """Shape and spacing as people read them.

        >>> str(Grid((36, 50, 35), (1.0, 0.5, 0.5), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1)))
        '36 × 50 × 35 voxels of 1.00 × 0.50 × 0.50 mm'
        """
        first = 3 - self.dimensions
        return f"{by(self.shape[first:])} voxels of {in_mm(self.spacing_mm[first:])} mm"


def plain_grid(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Grid:
    """A grid at the origin whose axes are the patient's, for arrays that come without a file."""
    return Grid(shape, spacing_mm, (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))


def resampled_shape(shape: Shape, spacing_mm: Spacing, new_spacing_mm: Spacing) -> tuple[int, int, int]:
    """Voxels an axis after a change of voxel size: as many as fit best, at least one.

    >>> resampled_shape((10, 100, 1), (5.0, 1.0, 1.0), (2.5, 1.1, 4.0))
    (20, 91, 1)
    """
    z, y, x = (
        max(1, round(old / new * size)) for size, old, new in zip(shape, spacing_mm, new_spacing_mm, strict=True)
    )
    return z, y, x


def in_mm(spacing_mm: Iterable[float]) -> str:
    """Voxel sizes as people read them: to a hundredth, the small ones to three digits that count.

    >>> in_mm((5.0, 0.78125, 0.78125)), in_mm((0.05, 0.000065))
    ('5.00 × 0.78 × 0.78', '0.05 × 0.000065')
    """
    return " × ".join(f"{size:.2f}" if size >= 0.1 else _three_digits(size) for size in spacing_mm)


def is_voxel_size(size_mm: float) -> bool:
    """Whether voxels can be so large: not NaN, and within what images are made of."""
    return FINEST_MM <= size_mm <= COARSEST_MM


def _three_digits(size: float) -> str:
    return f"{size:.{2 - math.floor(math.log10(size))}f}".rstrip("0")
