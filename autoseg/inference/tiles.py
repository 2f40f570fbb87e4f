"""Where the windows lie that cover an image.

Comes in: the size of an image, of a window, and the overlap. Goes out: first voxels along each axis.

    size 10, window 4, overlap ½ (steps of at most 2):

    |0123456789|
     ----
       ----
         ----
           ----
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LEAST_WEIGHT = 1e-30  # a narrow Gaussian vanishes at the corners; where one window alone looks it must still count


def window_starts(size: int, window: int, overlap: float) -> list[int]:
    """First voxels of windows that cover one axis, evenly spread, the last one flush with the end.

    Args:
        size: voxels of the image, at least `window`.
        window: voxels of a window.
        overlap: fraction of a window that neighbours share at least.

    >>> window_starts(10, 4, 0.5)
    [0, 2, 4, 6]
    >>> window_starts(4, 4, 0.5)
    [0]
    """
    count = window_count(size, window, overlap)
    spread = (size - window) / max(1, count - 1)
    return [round(spread * place) for place in range(count)]


def window_count(size: int, window: int, overlap: float) -> int:
    """How many windows `window_starts` gives, without listing them.

    >>> window_count(10, 4, 0.5), window_count(10**12, 64, 0.5)
    (4, 31249999999)
    """
    step = max(1.0, window * (1 - overlap))  # steps under a voxel would repeat themselves
    return math.ceil((size - window) / step) + 1


def window_weights(window: Sequence[int], sigma: float | None) -> NDArray[np.float32]:
    """How much each voxel of a window counts: a Gaussian about its middle, or 1 everywhere.

    Args:
        window: voxels along each axis.
        sigma: width of the Gaussian as a fraction of the window; None for 1 everywhere.

    Returns:
        Weights, largest 1, all above 0. Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z.
    """
    weights = np.ones(tuple(window), dtype=np.float64)
    if sigma is not None:
        for axis, size in enumerate(window):
            offsets = np.arange(size) - (size - 1) / 2
            bell = np.exp(-0.5 * (offsets / (sigma * size)) ** 2)
            weights *= bell.reshape([-1 if axis == other else 1 for other in range(len(window))])
    normalised: NDArray[np.float64] = np.maximum(weights / weights.max(), LEAST_WEIGHT)
    return normalised.astype(np.float32)
