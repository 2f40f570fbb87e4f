"""What a change of voxel size means for an array, before any of it is computed.

Comes in: voxel sizes. Goes out: how each axis is interpolated.
"""

from __future__ import annotations

from autoseg.geometry import Spacing

COARSE_AXIS_RATIO = 3.0  # an axis this many times coarser than the finest has its own spline order
SLAB_BYTES = 32 * 2**20  # of values in between that resampling has at once; the C library keeps and reuses such parts

Orders = tuple[int, int, int]  # spline order along (z, y, x): 0 nearest, 1 linear, 3 cubic


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
