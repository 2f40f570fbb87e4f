"""Changing the voxel size of a map of classes: each voxel takes the class that is largest there.

The indicator of a class, interpolated linearly, is a sum over the at most eight voxels around a point.
Where these are of one class, nothing needs to be computed; where they are not, only their own classes can
be the largest. So the time does not grow with the number of classes.

Comes in: a (z, y, x) map of classes, a shape, a spline order an axis, 0 or 1. Goes out: the map on that shape.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch

from autoseg.dataset.labels import IGNORE_CLASS
from autoseg.geometry import Shape
from autoseg.preprocessing.voxel_size import Orders

SLAB_VOXELS = 2**22  # of the new map at once: 20 bytes for each are needed beside the maps
VOXELS_AT_ONCE = 2**16  # of those with several classes around them: what a cache holds
LAST_CLASS = torch.iinfo(torch.int16).max


class _Axis(NamedTuple):
    """What lies around each new voxel's centre along one axis.

    Attributes:
        lower, upper: the old voxels on its two sides, or twice the same.
        nearest: the one of them that is nearer; half way, the upper one.
        share: weight of the upper one, float64; the lower one has the rest.
    """

    lower: torch.Tensor
    upper: torch.Tensor
    nearest: torch.Tensor
    share: torch.Tensor


def resample_classes(class_map: torch.Tensor, shape: Shape, orders: Orders) -> torch.Tensor:
    """Interpolates the indicator of each class and takes the class with the largest.

    Ties are real: with twice as many voxels, every point at a border lies half way. A tie goes to the class of
    the nearest voxel if that is one of the largest, else to the smallest class; `IGNORE_CLASS` is the largest.
    The sums are SciPy's, in float64 and in the same order, so ties are the same ones.

    Args:
        class_map: (z, y, x), int16, `IGNORE_CLASS` among them, on any device.
        shape: voxels along (z, y, x) afterwards.
        orders: spline order an axis, 0 or 1.

    Returns:
        (z, y, x), int16, on the same device; the map itself where its shape is that already.

    Source: `resize_segmentation` in batchgenerators 0.25.5, which nnU-Net 2.8.1 calls; with nearest neighbour along
    a coarse axis it does so slice by slice.
    """
    if tuple(class_map.shape) == tuple(shape):
        return class_map
    lines = zip(class_map.shape, shape, orders, strict=True)
    axes = [_Axis(*(values.to(class_map.device) for values in _axis(*line))) for line in lines]
    result = class_map.new_empty(tuple(shape))
    rows = max(1, SLAB_VOXELS // (shape[1] * shape[2]))
    with _one_thread():
        for start in range(0, shape[0], rows):
            along_z = _Axis(*(values[start : start + rows] for values in axes[0]))
            first, stop = int(along_z.lower[0]), int(along_z.upper[-1]) + 1
            here = _Axis(along_z.lower - first, along_z.upper - first, along_z.nearest - first, along_z.share)
            result[start : start + rows] = _slab(class_map[first:stop], [here, *axes[1:]])
    return result


@contextmanager
def _one_thread() -> Iterator[None]:
    """Many short operations: more threads would mostly wait for each other, and badly on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _axis(n: int, m: int, order: int) -> _Axis:
    """The arithmetic of `scipy.ndimage.zoom(…, grid_mode=True, mode="nearest")`, to the last bit."""
    centres = np.clip((np.arange(m) + 0.5) * (n / m) - 0.5, 0, n - 1)
    nearest = np.floor(centres + 0.5).astype(np.int64)
    lower = nearest if order == 0 else np.floor(centres).astype(np.int64)
    share = np.zeros(m) if order == 0 else centres - lower
    upper = np.minimum(lower + (share > 0), n - 1)
    return _Axis(*(torch.from_numpy(values) for values in (lower, upper, nearest, share)))


def _slab(source: torch.Tensor, axes: list[_Axis]) -> torch.Tensor:
    """Some rows of the new map, from all rows of the old one that they lie between."""
    classes = _picked(source, [axis.nearest for axis in axes])
    mixed = _mixed(source, [axis for axis in range(3) if bool((axes[axis].upper > axes[axis].lower).any())])
    if mixed.any():
        flat = classes.view(-1)
        places = _picked(mixed, [axis.lower for axis in axes]).view(-1).nonzero()[:, 0]
        for some in torch.split(places, VOXELS_AT_ONCE):
            flat[some] = _largest(source, axes, torch.unravel_index(some, classes.shape), flat[some])
    return classes


def _picked(array: torch.Tensor, places: list[torch.Tensor]) -> torch.Tensor:
    z, y, x = places
    array = array.gather(2, x.expand(*array.shape[:2], len(x)))  # index_select is slow along the last axis
    return array.index_select(1, y).index_select(0, z)


def _mixed(source: torch.Tensor, axes: list[int]) -> torch.Tensor:
    """Where a voxel and its upper neighbours along the given axes are of several classes."""
    lowest, highest = source, source
    for axis in axes:
        lowest = torch.minimum(lowest, _upper(lowest, axis))
        highest = torch.maximum(highest, _upper(highest, axis))
    return lowest != highest


def _upper(array: torch.Tensor, axis: int) -> torch.Tensor:
    """The upper neighbour of each voxel, which the last one is itself."""
    last = array.shape[axis] - 1
    return torch.cat((array.narrow(axis, 1, last), array.narrow(axis, last, 1)), dim=axis)


def _largest(
    source: torch.Tensor, axes: list[_Axis], voxels: tuple[torch.Tensor, ...], nearest: torch.Tensor
) -> torch.Tensor:
    """The classes of single voxels.

    Args:
        source: (z, y, x), the old map.
        axes: what lies around the new voxels' centres.
        voxels: their places along z, y and x in the new map.
        nearest: the class of the old voxel that is nearest to each.
    """
    sides: list[list[tuple[torch.Tensor, torch.Tensor]]] = []
    for axis, places in zip(axes, voxels, strict=True):
        lower, upper, share = axis.lower[places], axis.upper[places], axis.share[places]
        sides.append([(lower, 1 - share), (upper, share)] if bool(share.any()) else [(lower, 1 - share)])
    around: list[tuple[torch.Tensor, torch.Tensor]] = []  # class, weight
    for (z, z_share), (y, y_share), (x, x_share) in itertools.product(*sides):
        around.append((_ranked(source[z, y, x]), z_share * y_share * x_share))
    winner = _ranked(nearest)
    of_nearest = largest = _indicator(winner, around)
    for candidate, _ in around:
        found = _indicator(candidate, around)
        tied = (found == largest) & (largest > of_nearest) & (candidate < winner)
        winner = torch.where((found > largest) | tied, candidate, winner)
        largest = torch.maximum(found, largest)
    return winner.masked_fill_(winner == LAST_CLASS, IGNORE_CLASS)


def _ranked(classes: torch.Tensor) -> torch.Tensor:
    return classes.masked_fill(classes == IGNORE_CLASS, LAST_CLASS)


def _indicator(candidate: torch.Tensor, around: list[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    """The interpolated indicator of a class a voxel."""
    total = torch.zeros(candidate.shape, dtype=torch.float64, device=candidate.device)
    for classes, weight in around:
        total += weight * (classes == candidate)
    return total
