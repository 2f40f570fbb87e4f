"""Patches cut from prepared arrays.

Comes in: an array on disk or in memory, a corner, a size. Goes out: that part of it, padded
where it reaches over the border. Only the blocks it touches are read and decompressed.
"""

from __future__ import annotations

from typing import Any

import blosc2
import numpy as np
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from numpy.typing import NDArray

from autoseg.geometry import Shape
from autoseg.preprocessing.arrays import damaged


def read_patch(
    array: blosc2.NDArray | NDArray[Any], start: tuple[int, int, int], size: Shape, pad_value: float
) -> NDArray[Any]:
    """Cuts a patch out of an array.

    Args:
        array: (channels, z, y, x).
        start: first voxel, (z, y, x); may lie before or behind the array.
        size: voxels, (z, y, x).
        pad_value: for the part of the patch that lies outside the array.

    Returns:
        (channels, *size), the array's dtype. Of an array in memory it may be a view.

    Raises:
        WorkspaceError: the array on disk is damaged.
    """
    box = [[first, first + count] for first, count in zip(start, size, strict=True)]
    # crop_and_pad_nd fills a patch that misses the array altogether with 0, whatever the pad value.
    if any(stop <= 0 or first >= extent for (first, stop), extent in zip(box, array.shape[1:], strict=True)):
        return np.full((array.shape[0], *size), pad_value, dtype=array.dtype)
    try:
        patch: NDArray[Any] = crop_and_pad_nd(array, box, pad_value)
    except RuntimeError:  # a chunk that does not decompress
        raise damaged(getattr(array, "urlpath", "an array")) from None
    return patch
