"""Connected components of a mask.

Comes in: a mask, 2-D or 3-D. Goes out: the number of its component in every voxel.
"""

from __future__ import annotations

import cc3d
import numpy as np
from numpy.typing import NDArray


def connected_components(
    mask: NDArray[np.bool_], across_corners: bool = True
) -> tuple[NDArray[np.unsignedinteger], int]:
    """The number of its component in every voxel, from 1 and 0 outside, and how many there are.

    Args:
        mask: 2-D or 3-D.
        across_corners: voxels that share an edge or a corner are connected, too, and not only those that share a face.

    >>> components, count = connected_components(np.array([[1, 1, 0, 0, 1]], bool))
    >>> components.tolist(), count
    ([[1, 1, 0, 0, 2]], 2)
    """
    # cc3d gives up on a single row of voxels when it looks across corners, where there is nothing to look at.
    every = across_corners and sum(size > 1 for size in mask.shape) > 1
    neighbours = (8 if every else 4) if mask.ndim == 2 else (26 if every else 6)
    components, count = cc3d.connected_components(np.ascontiguousarray(mask), connectivity=neighbours, return_N=True)
    return components, int(count)
