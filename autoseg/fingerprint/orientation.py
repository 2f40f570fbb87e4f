"""How an image's axes lie in the patient.

Comes in: a grid. Goes out: three letters.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from autoseg.geometry import Grid

# Direction cosines are stored in ITK's (and DICOM's) world, whose axes point left, posterior, superior.
TOWARDS = ("RL", "AP", "IS")  # of each world axis: where it is negative, where it is positive


def orientation(grid: Grid) -> str | None:
    """Where the index of each of the file's axes (x, y, z) grows towards, or None in 2-D.

    Every axis takes the patient axis it is nearest to, no two the same.

    >>> from autoseg.geometry import plain_grid
    >>> orientation(plain_grid((4, 4, 4), (1.0, 1.0, 1.0)))
    'LPS'
    """
    if grid.dimensions == 2:
        return None
    cosines = np.reshape(grid.direction, (3, 3)).T  # row: a file axis; column: a world axis
    _, world = linear_sum_assignment(-np.abs(cosines))
    return "".join(TOWARDS[w][int(cosines[axis, w] > 0)] for axis, w in enumerate(world))
