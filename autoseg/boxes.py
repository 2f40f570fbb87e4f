"""Boxes of voxels.

Comes in: a mask, or boxes. Goes out: the smallest box that holds it or them, as slices.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Box = tuple[slice, ...]


def box_of(mask: NDArray[np.bool_]) -> Box | None:
    """The smallest box that holds a mask; None for an empty one.

    >>> box_of(np.array([[0, 0, 0, 0], [0, 1, 0, 1]], bool))
    (slice(1, 2, None), slice(1, 4, None))
    """
    axes = range(mask.ndim)
    sides = [np.flatnonzero(mask.any(axis=tuple(other for other in axes if other != axis))) for axis in axes]
    if not all(map(len, sides)):
        return None
    return tuple(slice(int(side[0]), int(side[-1]) + 1) for side in sides)


def box_around(boxes: Iterable[Box | None]) -> Box | None:
    """The smallest box that holds several; None if there is none among them.

    >>> box_around([(slice(2, 3), slice(0, 1)), None, (slice(0, 1), slice(0, 4))])
    (slice(0, 3, None), slice(0, 4, None))
    """
    found = [box for box in boxes if box is not None]
    if not found:
        return None
    return tuple(
        slice(min(part.start for part in side), max(part.stop for part in side)) for side in zip(*found, strict=True)
    )
