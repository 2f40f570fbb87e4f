"""The part of an image that holds anything.

Comes in: an image. Goes out: the box outside of which every channel is 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = tuple[slice, slice, slice]


def nonzero_box(array: NDArray[Any]) -> Box:
    """The smallest box that holds every voxel at which some channel is not 0.

    nnU-Net fills the holes of that region first; a hole lies inside, so the box is the same.

    Args:
        array: (channels, z, y, x).

    Returns:
        Slices along z, y and x. An image of zeros is kept whole.

    >>> image = np.zeros((1, 4, 5, 6))
    >>> image[0, 1:3, 2, 4:] = 7
    >>> nonzero_box(image)
    (slice(1, 3, None), slice(2, 3, None), slice(4, 6, None))
    """
    occupied = (array != 0).any(axis=0)
    if not occupied.any():
        z, y, x = occupied.shape
        return slice(0, z), slice(0, y), slice(0, x)
    return _extent(occupied.any(axis=(1, 2))), _extent(occupied.any(axis=(0, 2))), _extent(occupied.any(axis=(0, 1)))


def _extent(occupied: NDArray[np.bool_]) -> slice:
    places = np.flatnonzero(occupied)
    return slice(int(places[0]), int(places[-1]) + 1)
