"""How far apart two surfaces lie, in mm.

Comes in: a predicted and a true mask of one case, neither empty, and the size of a voxel. Goes out:
`SurfaceDistances`, from which surface Dice, HD95 and the average symmetric surface distance follow.

The surface of a mask is its boundary voxels: those with a face neighbour outside the mask, or beyond the edge of the
array. Distances are between the centres of boundary voxels, each of them counting one. MONAI measures so by default;
DeepMind's surface-distance weighs pieces of a mesh by their area instead, and its numbers differ a little.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import edt
import numpy as np
from numpy.typing import NDArray

ROUNDING = 1e-5  # of a tolerance: distances are computed in float32, and one that equals the tolerance is within it


def surface_distances(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], spacing_mm: Sequence[float]
) -> SurfaceDistances:
    """Distances between the surfaces of two masks.

    A distance transform of the whole array is used although a k-d tree over the surfaces is quicker where they lie
    close: its time depends on the size of the array alone, while a tree takes many times as long for a prediction
    that is mostly noise, or for one organ well inside the other (benchmarks/choices.py).

    Args:
        prediction: 2-D or 3-D, at least one voxel true. Cut to the box around both masks it takes least time.
        reference: of the same shape, at least one voxel true.
        spacing_mm: between voxel centres, mm, in the order of the axes.

    >>> masks = np.zeros((2, 3, 9), bool)
    >>> masks[0, 1, 1] = masks[1, 1, 7] = True
    >>> surface_distances(masks[0], masks[1], (1.0, 0.5)).hd95_mm
    3.0
    """
    predicted, true = boundary(prediction), boundary(reference)
    return SurfaceDistances(
        from_prediction=_distance_to(true, spacing_mm)[predicted],
        from_reference=_distance_to(predicted, spacing_mm)[true],
    )


class SurfaceDistances(NamedTuple):
    """Of every boundary voxel of one mask, the distance to the nearest of the other.

    Attributes:
        from_prediction: mm, one a boundary voxel of the prediction.
        from_reference: mm, one a boundary voxel of the reference.
    """

    from_prediction: NDArray[np.float32]
    from_reference: NDArray[np.float32]

    @property
    def hd95_mm(self) -> float:
        """The larger of the two 95th percentiles. Source: Huttenlocher et al. 1993, doi:10.1109/34.232073."""
        return max(float(np.percentile(distances, 95)) for distances in self)

    @property
    def assd_mm(self) -> float:
        """The mean over the boundary voxels of both. Source: Heimann et al. 2009, doi:10.1109/TMI.2009.2013851."""
        return float(np.concatenate(self).mean(dtype=np.float64))

    def surface_dice(self, tolerance_mm: float) -> float:
        """The share of the boundary voxels of both that lie within a tolerance of the other surface, 0…1.

        Source: Nikolov et al. 2021, doi:10.2196/26151.
        """
        limit_mm = tolerance_mm * (1 + ROUNDING)
        within = sum(int(np.count_nonzero(distances <= limit_mm)) for distances in self)
        return within / sum(len(distances) for distances in self)


def boundary(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The voxels of a mask that have a face neighbour outside it, or lie at the edge of the array.

    >>> boundary(np.array([[0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 1, 1, 1, 1]], bool)).astype(int)
    array([[0, 1, 1, 1, 0],
           [0, 1, 0, 1, 0],
           [0, 1, 1, 1, 1]])
    """
    inside = mask.copy()
    for axis in range(mask.ndim):
        within, all_of_mask = np.moveaxis(inside, axis, 0), np.moveaxis(mask, axis, 0)
        within[1:] &= all_of_mask[:-1]
        within[:-1] &= all_of_mask[1:]
        within[[0, -1]] = False
    return mask & ~inside


def _distance_to(surface: NDArray[np.bool_], spacing_mm: Sequence[float]) -> NDArray[np.float32]:
    """Of every voxel, mm to the nearest voxel of a surface."""
    distances: NDArray[np.float32] = edt.edt(~surface, anisotropy=tuple(spacing_mm), parallel=1)
    return distances
