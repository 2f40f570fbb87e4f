"""The part of an image that holds anything.

Comes in: an image. Goes out: the box outside of which every channel is 0.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from autoseg.boxes import box_of

Box = tuple[slice, slice, slice]


def nonzero_box(array: NDArray[Any]) -> Box:
    """The smallest box that holds every voxel at which some channel is not 0.

    nnU-Net fills the holes of that region first; a hole lies inside, so the box is the same.

    Args:
        array: (channels, z, y, x).

    Returns:
        Slices along z, y and x. An image of zeros is kept whole.

    >>> import numpy as np
    >>> image = np.zeros((1, 4, 5, 6))
    >>> image[0, 1:3, 2, 4:] = 7
    >>> nonzero_box(image)
    (slice(1, 3, None), slice(2, 3, None), slice(4, 6, None))
    """
    occupied = (array != 0).any(axis=0)
    z, y, x = box_of(occupied) or (slice(0, size) for size in occupied.shape)
    return z, y, x
