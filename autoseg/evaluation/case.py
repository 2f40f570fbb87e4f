"""Measuring one case.

Comes in: a predicted and a true label map. Goes out: `Measures` of every target. Each target is measured on the box
around it, so the time a case takes depends on the size of what is in it, hardly on that of the image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from autoseg.boxes import box_around, box_of
from autoseg.dataset.labels import Labels
from autoseg.errors import DatasetError
from autoseg.evaluation.measures import Measures, Scale, measure_masks

MM3_PER_ML = 1000.0


def measure_case(
    prediction: NDArray[np.integer],
    reference: NDArray[np.integer],
    labels: Labels,
    targets: Mapping[str, Sequence[int]],
    spacing_mm: Sequence[float],
    tolerance_mm: float,
) -> dict[str, Measures]:
    """Measures every target in one case.

    A predicted voxel belongs to a region when its value is one of the region's values, just as a true one does;
    nnU-Net scores in this way. It works because `Labels` has every region painted with one of its own values.
    Voxels that are `labels.ignore` in the reference are background in both maps; in the prediction that value is
    background. An axis along which the image is one voxel thick is none: surfaces have no boundary across it.

    Args:
        prediction: (z, y, x), values of the label files.
        reference: (z, y, x), values of the label files.
        labels: what the values mean.
        targets: name → the values that make it up; see `scored_targets`.
        spacing_mm: between voxel centres along (z, y, x).
        tolerance_mm: of surface Dice.

    Raises:
        DatasetError: one of the maps holds a value that is no label.
        ValueError: their shapes differ.

    >>> labels = Labels(values={"background": 0, "kidney": 1, "tumour": 2})
    >>> maps = np.array([[[0, 1, 1, 1]]]), np.array([[[0, 0, 1, 2]]])
    >>> found = measure_case(*maps, labels, labels.targets, (1.0, 1.0, 1.0), tolerance_mm=1.0)
    >>> {target: measures.dice for target, measures in found.items()}
    {'kidney': 0.5, 'tumour': 0.0}
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape} and reference {reference.shape} differ in shape")
    axes = _thick_axes(prediction.shape)
    scale = Scale(
        spacing_mm=tuple(spacing_mm[axis] for axis in axes),
        voxel_ml=math.prod(spacing_mm) / MM3_PER_ML,
        tolerance_mm=tolerance_mm,
        farthest_mm=math.hypot(*(prediction.shape[axis] * spacing_mm[axis] for axis in axes)),
    )
    thick = [prediction.shape[axis] for axis in axes]
    predicted, true = _as_classes(prediction.reshape(thick), reference.reshape(thick), labels)
    number_of = {value: number for number, value in enumerate(labels.classes)}
    boxes = [ndi.find_objects(classes, len(number_of) - 1) for classes in (predicted, true)]
    measured = {}
    for target, values in targets.items():
        numbers = [number_of[value] for value in values]
        member = np.isin(np.arange(len(number_of)), numbers)
        box = box_around(found[number - 1] for found in boxes for number in numbers)
        measured[target] = (
            Measures() if box is None else measure_masks(member[predicted[box]], member[true[box]], scale)
        )
    return measured


def _thick_axes(shape: Sequence[int]) -> list[int]:
    """The axes along which there is more than one voxel; two at least, for an image has no fewer."""
    thin_last = sorted(range(len(shape)), key=lambda axis: (shape[axis] == 1, -axis))
    return sorted(thin_last[: max(2, sum(size > 1 for size in shape))])


def _as_classes(
    prediction: NDArray[np.integer], reference: NDArray[np.integer], labels: Labels
) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Class numbers of both maps within the box of all that is not background; 0 where nobody annotated."""
    box = box_of((prediction != 0) | (reference != 0)) or (slice(0, 0),) * prediction.ndim
    predicted, true = _classes(prediction[box], "prediction", labels), _classes(reference[box], "reference", labels)
    predicted[(predicted < 0) | (true < 0)] = 0
    true[true < 0] = 0
    return predicted, true


def _classes(values: NDArray[np.integer], role: str, labels: Labels) -> NDArray[np.int16]:
    classes = np.empty(values.shape, np.int16)
    try:
        for number, plane in enumerate(values):  # one at a time, for memory
            classes[number] = labels.to_classes(plane)
    except DatasetError as problem:
        raise DatasetError(f"in the {role}, {problem}") from None
    return classes
