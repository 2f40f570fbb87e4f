"""How many lesions were found.

Comes in: a predicted and a true mask of one case. Goes out: `Lesions`, three counts, from which precision, recall
and F1 follow.

A lesion is a connected component; voxels that share a face, an edge or a corner are connected (26 neighbours in 3-D,
8 in 2-D). A predicted and a true lesion can be a pair when their intersection is at least a tenth of their union. Each
is in one pair at most, and as many pairs are formed as can be; so one predicted blob over two lesions finds one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from autoseg.connected import connected_components
from autoseg.evaluation.overlap import ratio

LEAST_IOU = 0.1  # of a pair; that of PI-CAI, Saha et al. 2024, doi:10.1016/S1470-2045(24)00220-1


def match_lesions(prediction: NDArray[np.bool_], reference: NDArray[np.bool_]) -> Lesions:
    """Counts the lesions of two masks of the same shape, 2-D or 3-D, and the pairs they form.

    >>> prediction = np.array([[1, 1, 0, 0, 1, 0, 1]], bool)
    >>> reference = np.array([[0, 1, 1, 0, 0, 0, 1]], bool)
    >>> lesions = match_lesions(prediction, reference)
    >>> lesions
    Lesions(predicted=3, true=2, matched=2)
    >>> lesions.precision, lesions.recall, lesions.f1
    (0.6666666666666666, 1.0, 0.8)
    """
    (ours, predicted), (theirs, true) = connected_components(prediction), connected_components(reference)
    if not predicted or not true:
        return Lesions(predicted, true, 0)
    shared = prediction & reference
    pairs = ours[shared].astype(np.int64) - 1, theirs[shared].astype(np.int64) - 1
    both = csr_array(coo_array((np.ones(len(pairs[0]), np.int64), pairs), shape=(predicted, true)))  # sums equal pairs
    both = both.tocoo()
    of_prediction, of_reference = both.coords
    sizes = np.bincount(ours[prediction])[1:], np.bincount(theirs[reference])[1:]
    iou = both.data / (sizes[0][of_prediction] + sizes[1][of_reference] - both.data)
    enough = iou >= LEAST_IOU
    possible = csr_array((enough[enough], (of_prediction[enough], of_reference[enough])), shape=(predicted, true))
    return Lesions(predicted, true, int(np.count_nonzero(maximum_bipartite_matching(possible) >= 0)))


class Lesions(NamedTuple):
    """Numbers of lesions in one case.

    Attributes:
        predicted: connected components of the prediction.
        true: connected components of the reference.
        matched: pairs of one of each.
    """

    predicted: int
    true: int
    matched: int

    @property
    def precision(self) -> float | None:
        """The share of the predicted lesions that are true, 0…1; None when none was predicted."""
        return ratio(self.matched, self.predicted)

    @property
    def recall(self) -> float | None:
        """The share of the true lesions that were found, 0…1; None when there is none."""
        return ratio(self.matched, self.true)

    @property
    def f1(self) -> float | None:
        """2 matched / (predicted + true), 0…1; None when there is neither."""
        return ratio(2 * self.matched, self.predicted + self.true)
