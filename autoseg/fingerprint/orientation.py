"""How an image's axes lie in the patient.

Comes in: a grid. Goes out: three letters; and, from two such codes, how to get from one to the other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from autoseg.geometry import Grid

# Direction cosines are stored in ITK's (and DICOM's) world, whose axes point left, posterior, superior.
TOWARDS = ("RL", "AP", "IS")  # of each world axis: where it is negative, where it is positive


class Turn(NamedTuple):
    """How an array is turned: its axes are exchanged, then some of them reversed. Nothing is interpolated.

    Attributes:
        axes: which axis of the array becomes axis 0, 1, 2 of the turned one.
        reversed: whether axis 0, 1, 2 of the turned array then runs backwards.
    """

    axes: tuple[int, int, int]
    reversed: tuple[bool, bool, bool]


NO_TURN = Turn((0, 1, 2), (False, False, False))


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


def is_orientation(code: str) -> bool:
    """Whether a code names three axes of the patient, each once.

    >>> is_orientation("LPS"), is_orientation("PSR"), is_orientation("LPL"), is_orientation("LP")
    (True, True, False, False)
    """
    return len(code) == 3 and all(len(set(ends) & set(code)) == 1 for ends in TOWARDS)


def turn(found: str, wanted: str) -> Turn:
    """The turn that brings an array of one orientation into another.

    Args:
        found: code of the array's axes, in file order (x, y, z).
        wanted: code its axes are to have.

    Returns:
        Of the array's axes, (z, y, x).

    >>> turn("LPS", "RAS")
    Turn(axes=(0, 1, 2), reversed=(False, True, True))
    >>> turn("PSR", "LPS")  # sagittal slices: the file's z runs to the right
    Turn(axes=(1, 2, 0), reversed=(False, False, True))
    """
    came_from = [next(at for at, letter in enumerate(found) if _world(letter) == _world(to)) for to in wanted]
    x, y, z = came_from
    backwards_x, backwards_y, backwards_z = (found[at] != to for at, to in zip(came_from, wanted, strict=True))
    return Turn((2 - z, 2 - y, 2 - x), (backwards_z, backwards_y, backwards_x))


def direction(code: str) -> tuple[float, ...]:
    """The direction cosines, row by row, of a grid whose axes run as a code says; `orientation` undone.

    >>> direction("RAS")
    (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)
    """
    cosines = np.zeros((3, 3))  # row: a world axis; column: a file axis
    for axis, letter in enumerate(code):
        cosines[_world(letter), axis] = 1 if TOWARDS[_world(letter)][1] == letter else -1
    return tuple(cosines.ravel().tolist())


def _world(letter: str) -> int:
    """The world axis that a letter lies on."""
    return next(axis for axis, ends in enumerate(TOWARDS) if letter in ends)
