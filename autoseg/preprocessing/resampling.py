"""Changing the voxel size of an image: spline interpolation as one matrix product an axis.

Spline interpolation is linear and separable, so along one axis it is a matrix, and that matrix
is what SciPy's own interpolation makes of the identity. Three products do what
`scipy.ndimage.zoom` does to a volume, many times faster, and on a GPU where the array is there.
A cubic overshoot at a sharp edge is clipped, as skimage's `resize` does it, which nnU-Net calls.

Comes in: a (channels, z, y, x) tensor, a shape, a spline order an axis. Goes out: the same on that
shape. Beside the two arrays no more than `SLAB_BYTES` are needed, whatever their size.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from autoseg.geometry import Shape
from autoseg.preprocessing.voxel_size import SLAB_BYTES, Orders

NEGLIGIBLE = 1e-9  # a weight that float32 does not notice beside the others, which add up to 1


def resample(array: torch.Tensor, shape: Shape, orders: Orders, out: torch.Tensor | None = None) -> torch.Tensor:
    """Interpolates an array onto a new shape that spans the same volume.

    Voxels are little boxes: the outer faces of the first and last voxel stay where they are, and
    beyond the centres of those voxels the array goes on with their values. Values stay in the range
    of their channel. Where one axis has an order of its own, slices across it are interpolated first,
    each within its own range.

    Args:
        array: (channels, z, y, x), float32, on any device; stays as it is.
        shape: voxels along (z, y, x) afterwards.
        orders: spline order an axis.
        out: (channels, *shape), float32, on the same device; written to where given.

    Returns:
        (channels, *shape), float32, on the array's device; the array itself where its shape is that already
        and no `out` is given.

    Source: of clipping and of slices, `resample_data_or_seg` in nnU-Net 2.8.1.
    """
    if tuple(array.shape[1:]) == tuple(shape):
        return array if out is None else out.copy_(array)
    result = array.new_empty((len(array), *shape)) if out is None else out
    steps = _steps(tuple(array.shape[1:]), shape, orders)
    for before, after in zip(array, result, strict=True):
        _resample_channel(before.contiguous(), after, steps)
    return result


@lru_cache(maxsize=64)
def interpolation_matrix(n: int, m: int, order: int) -> NDArray[np.float32]:
    """The (m, n) matrix that interpolates n values at the centres of m equal cells of their extent.

    >>> interpolation_matrix(2, 4, 1)
    array([[1.  , 0.  ],
           [0.75, 0.25],
           [0.25, 0.75],
           [0.  , 1.  ]], dtype=float32)
    """
    matrix: NDArray[np.float64] = ndimage.zoom(np.eye(n), (m / n, 1), order=order, mode="nearest", grid_mode=True)
    assert matrix.shape == (m, n)
    matrix[np.abs(matrix) < NEGLIGIBLE] = 0  # far away they would be denormal numbers, which make products slow
    return matrix.astype(np.float32)


class _Steps(NamedTuple):
    """How a channel is interpolated.

    Attributes:
        matrices: axis → matrix, in the order of the products; that of the first is applied some rows at a time.
        apart: the axis with an order of its own, or None; it is not the first one, and comes last if it comes at all.
        rows: of the first axis, afterwards, at a time.
    """

    matrices: dict[int, NDArray[np.float32]]
    apart: int | None
    rows: int


def _steps(before: Shape, after: Shape, orders: Orders) -> _Steps:
    odd = [axis for axis in range(3) if orders.count(orders[axis]) == 1]
    apart = odd[0] if len(odd) == 1 else None
    growth = [new / old for old, new in zip(before, after, strict=True)]
    # Axes that shrink most go first: every later product is then over a smaller array.
    together = sorted((axis for axis in range(3) if axis != apart), key=growth.__getitem__)

    def order_from(first: int) -> list[int]:
        others = [axis for axis in together if axis != first and before[axis] != after[axis]]
        return [first, *others, *([apart] if apart is not None and before[apart] != after[apart] else [])]

    def row_bytes(first: int) -> int:
        sizes, total = list(before), 0
        for axis in order_from(first):
            sizes[axis] = 1 if axis == first else after[axis]
            total += 4 * math.prod(sizes)
        return total

    first = min(together, key=lambda axis: (row_bytes(axis) > SLAB_BYTES, growth[axis]))
    matrices = {axis: interpolation_matrix(before[axis], after[axis], orders[axis]) for axis in order_from(first)}
    return _Steps(matrices, apart, max(1, SLAB_BYTES // row_bytes(first)))


def _resample_channel(volume: torch.Tensor, result: torch.Tensor, steps: _Steps) -> None:
    """Fills (z, y, x) from (z, y, x)."""
    first, *others = steps.matrices
    within = (0, 1, 2) if steps.apart is None else tuple(axis for axis in range(3) if axis != steps.apart)
    low, high = volume.amin(within, keepdim=True), volume.amax(within, keepdim=True)
    matrices = {axis: torch.from_numpy(steps.matrices[axis]).to(volume.device) for axis in others}
    for start in range(0, result.shape[first], steps.rows):
        rows = steps.matrices[first][start : start + steps.rows]
        used = np.flatnonzero(rows.any(axis=0))
        part = volume.narrow(first, int(used[0]), int(used[-1] - used[0]) + 1)
        part = _along(torch.from_numpy(rows[:, used[0] : used[-1] + 1]).to(volume.device), part, first)
        for axis in others:
            if axis == steps.apart:
                part = part.clamp_(low, high)
            part = _along(matrices[axis], part, axis)
        target = result.narrow(first, start, len(rows))
        if steps.apart in others:
            target.copy_(part)
        else:
            torch.clamp(part, low, high, out=target)


def _along(matrix: torch.Tensor, array: torch.Tensor, axis: int) -> torch.Tensor:
    """Multiplies a (z, y, x) array along one axis without moving it."""
    z, y, x = array.shape
    if axis == 0:
        return (matrix @ array.reshape(z, y * x)).reshape(len(matrix), y, x)
    if axis == 2:
        return array @ matrix.T
    return torch.matmul(matrix, array)
