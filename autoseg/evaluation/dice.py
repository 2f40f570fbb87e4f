"""The Dice coefficient.

Comes in: a predicted and a true label map of one case, in the values of the files.
Goes out: one number a target, or None where there was nothing to score.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autoseg.dataset.labels import IGNORE_CLASS, Labels
from autoseg.errors import DatasetError

RULE = (
    "Dice = 2 |P ∩ R| / (|P| + |R|), P predicted and R true voxels. A target that neither the prediction nor the "
    "reference holds is not counted in that case; one that only the prediction holds, or only the reference, scores 0. "
    "Voxels the reference leaves unannotated are left out."
)


def dice(prediction: NDArray[np.bool_], reference: NDArray[np.bool_]) -> float | None:
    """Dice of two masks of the same shape; None when both are empty, for then there is nothing to find.

    Source: Dice 1945, doi:10.2307/1932409.

    >>> dice(np.array([True, True, False]), np.array([False, True, False]))
    0.6666666666666666
    >>> dice(np.array([True, True, False]), np.zeros(3, bool))
    0.0
    >>> dice(np.zeros(3, bool), np.zeros(3, bool)) is None
    True
    """
    _check_shapes(prediction, reference)
    both = int(np.count_nonzero(prediction & reference))
    return _from_counts(both, int(np.count_nonzero(prediction)) + int(np.count_nonzero(reference)))


def dice_per_target(
    prediction: NDArray[np.integer], reference: NDArray[np.integer], labels: Labels
) -> dict[str, float | None]:
    """Dice of every target of `labels` in one case, None where both maps lack the target.

    A predicted voxel belongs to a region when its value is one of the region's values, just as a
    true one does; nnU-Net scores in this way. It works because `Labels` has every region painted
    with one of its own values.
    Voxels that are `labels.ignore` in the reference are left out; in the prediction that value
    stands for background.

    Args:
        prediction: (z, y, x), values of the label files.
        reference: (z, y, x), values of the label files.
        labels: what the values mean, and what is scored.

    Raises:
        DatasetError: one of the maps holds a value that is no label.

    >>> labels = Labels(values={"background": 0, "kidney": 1, "tumour": 2})
    >>> dice_per_target(np.array([[[0, 1, 1, 1]]]), np.array([[[0, 0, 1, 2]]]), labels)
    {'kidney': 0.5, 'tumour': 0.0}
    """
    _check_shapes(prediction, reference)
    voxels = _voxels_by_class(prediction, reference, labels)
    predicted, true = voxels.sum(axis=1), voxels.sum(axis=0)
    scores = {}
    for target, classes in labels.target_classes.items():
        members = list(classes)
        both = voxels[np.ix_(members, members)].sum()
        scores[target] = _from_counts(int(both), int(predicted[members].sum() + true[members].sum()))
    return scores


def _voxels_by_class(
    prediction: NDArray[np.integer], reference: NDArray[np.integer], labels: Labels
) -> NDArray[np.intp]:
    """Voxel counts, (predicted class, true class). One pass, however many labels there are."""
    involved = (prediction != 0) | (reference != 0)  # the rest, most of an image, enters no count
    predicted = _classes(prediction[involved], "prediction", labels)
    true = _classes(reference[involved], "reference", labels)
    annotated = true != IGNORE_CLASS
    classes = len(labels.classes)
    pairs = np.maximum(predicted[annotated], 0).astype(np.intp) * classes + true[annotated]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def _classes(values: NDArray[np.integer], role: str, labels: Labels) -> NDArray[np.int16]:
    try:
        return labels.to_classes(values)
    except DatasetError as problem:
        raise DatasetError(f"in the {role}, {problem}") from None


def _from_counts(both: int, sum_of_sizes: int) -> float | None:
    return 2 * both / sum_of_sizes if sum_of_sizes else None


def _check_shapes(prediction: NDArray[np.generic], reference: NDArray[np.generic]) -> None:
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape} and reference {reference.shape} differ in shape")
