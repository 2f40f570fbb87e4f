"""How far two masks cover each other, in voxels.

Comes in: a predicted and a true mask of one case. Goes out: `Voxels`, three counts, from which Dice, IoU,
precision and recall follow; None where a ratio has nothing below the line.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


def count_voxels(prediction: NDArray[np.bool_], reference: NDArray[np.bool_]) -> Voxels:
    """Counts the voxels of two masks of the same shape.

    Raises:
        ValueError: the shapes differ.

    >>> count_voxels(np.array([True, True, False]), np.array([False, True, False]))
    Voxels(predicted=2, true=1, both=1)
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape} and reference {reference.shape} differ in shape")
    masks = prediction, reference, prediction & reference
    return Voxels(*(int(np.count_nonzero(mask)) for mask in masks))


class Voxels(NamedTuple):
    """Sizes of a predicted mask P and a true mask R of one case.

    Attributes:
        predicted: voxels of P.
        true: voxels of R.
        both: voxels of P ∩ R.
    """

    predicted: int
    true: int
    both: int

    @property
    def dice(self) -> float | None:
        """2 |P ∩ R| / (|P| + |R|), 0…1; None when both are empty. Source: Dice 1945, doi:10.2307/1932409.

        >>> Voxels(predicted=2, true=1, both=1).dice, Voxels(2, 0, 0).dice, Voxels(0, 0, 0).dice
        (0.6666666666666666, 0.0, None)
        """
        return ratio(2 * self.both, self.predicted + self.true)

    @property
    def iou(self) -> float | None:
        """|P ∩ R| / |P ∪ R|, 0…1; None when both are empty.

        Source: Jaccard 1912, doi:10.1111/j.1469-8137.1912.tb05611.x.

        >>> Voxels(predicted=2, true=2, both=1).iou
        0.3333333333333333
        """
        return ratio(self.both, self.predicted + self.true - self.both)

    @property
    def precision(self) -> float | None:
        """|P ∩ R| / |P|, 0…1: the share of what was predicted that is true; None when nothing was predicted."""
        return ratio(self.both, self.predicted)

    @property
    def recall(self) -> float | None:
        """|P ∩ R| / |R|, 0…1: the share of what is true that was predicted; None when nothing is true."""
        return ratio(self.both, self.true)


def ratio(part: float, whole: float) -> float | None:
    """A quotient, or None where there is nothing to divide by."""
    return part / whole if whole else None
