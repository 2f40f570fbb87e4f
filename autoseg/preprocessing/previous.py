"""What a stage makes of the prediction of another: a part of the image, a mask over it, further channels.

Comes in: an image, and the label map predicted for it, both as files hold them; the plan's `Previous`.
Goes out: the image as it is to be prepared and the box that is kept of it; one-hot channels; how much of the truth
was lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoseg.dataset.images import Image
from autoseg.dataset.labels import Labels
from autoseg.fingerprint.crop import Box, nonzero_box
from autoseg.geometry import Grid
from autoseg.plan.preprocessing import Preprocessing
from autoseg.plan.previous import CropAround, CropFixed, Previous
from autoseg.preprocessing.preparing import place

LabelMap = NDArray[np.integer]  # (z, y, x), file values
Mask = NDArray[np.bool_]  # (z, y, x)
MM = tuple[float, float, float]


class Rules(NamedTuple):
    """What decides how a prediction is used.

    Attributes:
        previous: the plan's crop and mask.
        preprocessing: the plan's; the order of the array's axes.
        labels: of the dataset.
    """

    previous: Previous
    preprocessing: Preprocessing
    labels: Labels


class Focus(NamedTuple):
    """The part of an image that a stage is to see.

    Attributes:
        box: along the image's own axes; None where the prediction does not decide it.
        mask: outside of it the image gets another value; None where it keeps its own.
        found: whether all that was looked for was predicted. What was not neither crops nor masks.
    """

    box: Box | None
    mask: Mask | None
    found: bool


class Lost(NamedTuple):
    """How much of the true labels lies outside a focus.

    Attributes:
        voxels: of each target, in the file.
        outside: those of them that are not seen.
        covering_mm: the least size of a box of fixed size, where there is one, that holds all; the array's axes.
    """

    voxels: dict[str, int]
    outside: dict[str, int]
    covering_mm: MM | None


def find_focus(prediction: LabelMap, grid: Grid, rules: Rules) -> Focus:
    """Where a stage is to look in an image.

    Args:
        prediction: of the previous stage, on the image's own grid.
        grid: of the image.
        rules: what decides it.
    """
    previous, labels = rules.previous, rules.labels
    box, mask, found = None, None, True
    if previous.crop is not None:
        box = _box(prediction, grid, previous.crop, rules)
        found = box is not None
    if previous.mask is not None:
        inside = _members(prediction, previous.mask.labels, labels)
        mask = inside if inside.any() else None
        found = found and mask is not None
    return Focus(box, mask, found)


def masked(image: Image, focus: Focus, previous: Previous) -> Image:
    """The image with the mask's value outside of it, in every channel; itself where nothing is masked."""
    if focus.mask is None or previous.mask is None:
        return image
    return image._replace(array=np.where(focus.mask, image.array, np.float32(previous.mask.value)))


def one_hot(class_map: NDArray[np.int16], count: int) -> NDArray[np.float32]:
    """A channel a class but the background: 1 inside and 0 outside.

    Args:
        class_map: class indices, any shape.
        count: of the classes but the background.

    >>> one_hot(np.array([0, 2, 1], dtype=np.int16), 2).tolist()
    [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    """
    numbers = np.arange(1, count + 1, dtype=np.int16).reshape(-1, *[1] * class_map.ndim)
    channels: NDArray[np.float32] = (class_map[None] == numbers).astype(np.float32)
    return channels


def find_lost(label_map: LabelMap, prediction: LabelMap, grid: Grid, focus: Focus, rules: Rules) -> Lost:
    """Compares the true labels of an image with what a stage sees of it.

    Args:
        label_map: the truth, on the image's own grid.
        prediction: of the previous stage.
        grid: of the image.
        focus: that `find_focus` found in it.
        rules: what decided it.
    """
    labels = rules.labels
    class_map = labels.to_classes(label_map)
    box = focus.box or (slice(None),) * 3
    seen = class_map[box] if focus.mask is None else class_map[box][focus.mask[box]]
    of_all, of_seen = _count(class_map, labels), _count(seen, labels)
    outside = {name: count - of_seen[name] for name, count in of_all.items()}
    return Lost(of_all, outside, _covering_mm(label_map, prediction, grid, rules))


def _box(prediction: LabelMap, grid: Grid, crop: CropAround | CropFixed, rules: Rules) -> Box | None:
    inside = _members(prediction, crop.labels, rules.labels)
    if not inside.any():
        return None
    found = nonzero_box(inside[None])
    if isinstance(crop, CropAround):
        margins = [crop.margin_mm / mm for mm in grid.spacing_mm]
        reach = [(side.start - margin, side.stop + margin) for side, margin in zip(found, margins, strict=True)]
    else:
        sizes = zip(_in_file_order(crop.size_mm, grid, rules.preprocessing), grid.spacing_mm, strict=True)
        halves = [size / mm / 2 for size, mm in sizes]
        reach = [(middle - half, middle + half) for middle, half in zip(_middles(found), halves, strict=True)]
    z, y, x = (
        slice(max(0, int(np.floor(low))), min(size, int(np.ceil(high))))
        for (low, high), size in zip(reach, grid.shape, strict=True)
    )
    return z, y, x


def _covering_mm(label_map: LabelMap, prediction: LabelMap, grid: Grid, rules: Rules) -> MM | None:
    """Twice as far as the truth reaches from the middle of what was predicted."""
    crop = rules.previous.crop
    if not isinstance(crop, CropFixed):
        return None
    found, true = (_members(one, crop.labels, rules.labels) for one in (prediction, label_map))
    if not (found.any() and true.any()):
        return None
    along = zip(_middles(nonzero_box(found[None])), nonzero_box(true[None]), grid.spacing_mm, strict=True)
    sizes = [2 * max(side.stop - middle, middle - side.start) * mm for middle, side, mm in along]
    z, y, x = (sizes[axis] for axis in place(grid, rules.preprocessing).axis_order)
    return z, y, x


def _members(label_map: LabelMap, names: Sequence[str], labels: Labels) -> Mask:
    """Where a map has one of the labels or regions; without names, all but the background."""
    values = (
        [value for value in labels.values.values() if value]
        if not names
        else [
            value
            for name in names
            for value in (labels.regions[name].values if name in labels.regions else (labels.values[name],))
        ]
    )
    inside: Mask = np.isin(label_map, values)
    return inside


def _count(class_map: NDArray[np.int16], labels: Labels) -> dict[str, int]:
    counts = np.bincount(class_map.ravel() + 1, minlength=len(labels.classes) + 1)[1:]  # without what nobody annotated
    return {name: int(counts[list(classes)].sum()) for name, classes in labels.target_classes.items()}


def _middles(box: Box) -> list[float]:
    return [(side.start + side.stop) / 2 for side in box]


def _in_file_order(sizes: MM, grid: Grid, preprocessing: Preprocessing) -> MM:
    """Sizes along the array's axes, along those of the file."""
    axes = place(grid, preprocessing).axis_order
    z, y, x = (sizes[axes.index(axis)] for axis in range(3))
    return z, y, x
