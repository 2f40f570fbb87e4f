"""Connected components of a mask, and its holes.

Comes in: a mask. Goes out: another one. Voxels that share a face, an edge or a corner are connected (26 neighbours in
3-D, 8 in 2-D); background is connected across faces alone, so that a hole is what no gap leads out of.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autoseg.connected import connected_components

Mask = NDArray[np.bool_]


def largest_components(mask: Mask, count: int) -> Mask:
    """The largest components, all of them where there are no more."""
    components, sizes = numbered(mask)
    order = np.argsort(-sizes, kind="stable")
    return _chosen(components, np.isin(np.arange(len(sizes)), order[:count]))


def components_of_size(mask: Mask, least_voxels: float) -> Mask:
    """The components that are not below a number of voxels."""
    components, sizes = numbered(mask)
    return _chosen(components, sizes >= least_voxels)


def components_above(mask: Mask, probabilities: NDArray[np.floating], least: float) -> Mask:
    """The components over which the mean of probabilities, an array of the same shape, is not below the least."""
    components, sizes = numbered(mask)
    inside = components[mask]
    sums = np.bincount(inside, weights=probabilities[mask].astype(np.float64), minlength=len(sizes) + 1)[1:]
    return _chosen(components, sums >= least * sizes)


def holes(mask: Mask) -> Mask:
    """Background enclosed by the mask on all sides; an axis along which there is one voxel is none.

    >>> holes(np.array([[[1, 1, 1], [1, 0, 1], [1, 1, 1]]], bool)).sum().item()
    1
    """
    sizes = [size for size in mask.shape if size > 1]
    thick = np.ascontiguousarray(~mask.reshape([1] * (2 - len(sizes)) + sizes))
    components, count = connected_components(thick, across_corners=False)
    closed = np.ones(count + 1, bool)
    closed[0] = False
    for axis in range(thick.ndim):
        for side in (0, -1):
            closed[np.unique(np.take(components, side, axis=axis))] = False
    found_holes: Mask = closed[components].reshape(mask.shape)
    return found_holes


def numbered(mask: Mask) -> tuple[NDArray[np.unsignedinteger], NDArray[np.int64]]:
    """The number of its component in every voxel, from 1 and 0 outside, and the voxels of each component."""
    components, count = connected_components(mask)
    return components, np.bincount(components[mask], minlength=count + 1)[1:].astype(np.int64)


def _chosen(components: NDArray[np.unsignedinteger], kept: NDArray[np.bool_]) -> Mask:
    chosen: Mask = np.concatenate(([False], kept))[components]
    return chosen
