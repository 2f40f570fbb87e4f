"""Where the labels lie in a prepared case, so that patches can be centred on them.

Comes in: a class map. Goes out: `Locations`, a random sample of voxels for every label or region.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from autoseg.boxes import Box, box_around
from autoseg.dataset.labels import IGNORE_CLASS, Labels

MOST_LOCATIONS = 10_000  # of a target, unless
LEAST_SHARE = 0.01  # this share of its voxels is more
SEED = 1234
SLAB_VOXELS = 2**22  # looked at together
NOTHING = (slice(0, 0),) * 3

Voxels = NDArray[np.int32]  # (n, 3): z, y, x
ClassMap = NDArray[np.int16]  # (z, y, x)
Mask = NDArray[np.bool_]  # (z, y, x)


class Locations(NamedTuple):
    """Voxels of a prepared case.

    Attributes:
        targets: for each of `labels.targets`, in their order, voxels that belong to it.
        annotated: voxels that somebody annotated, background included; None where that is all of them.
    """

    targets: tuple[Voxels, ...]
    annotated: Voxels | None


def sample_locations(class_map: NDArray[np.int16], labels: Labels) -> Locations:
    """Draws voxels of every target, the same ones every time.

    Args:
        class_map: (z, y, x), class indices and `IGNORE_CLASS`.
        labels: of the dataset.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z (oversampling of foreground).
    """
    generator = np.random.default_rng(SEED)
    boxes = ndimage.find_objects(class_map, max_label=len(labels.classes) - 1)  # one pass, however many classes
    targets = tuple(
        _sample(class_map, box_around(boxes[value - 1] for value in classes) or NOTHING, _member(classes), generator)
        for classes in labels.target_classes.values()
    )
    whole = tuple(slice(0, size) for size in class_map.shape)
    annotated = (
        _sample(class_map, whole, lambda part: part != IGNORE_CLASS, generator) if labels.ignore is not None else None
    )
    return Locations(targets, annotated)


def _member(classes: Sequence[int]) -> Callable[[ClassMap], Mask]:
    if len(classes) == 1:
        return lambda part: part == classes[0]
    return lambda part: np.isin(part, classes)


def _sample(
    class_map: ClassMap, box: Box, is_inside: Callable[[ClassMap], Mask], generator: np.random.Generator
) -> Voxels:
    """Draws from the voxels in a box for which `is_inside` says so, in their order, slab by slab."""
    part = class_map[box]
    rows = max(1, SLAB_VOXELS // max(1, part[:1].size))
    slabs = [part[start : start + rows] for start in range(0, len(part), rows)]
    counts = [int(np.count_nonzero(is_inside(slab))) for slab in slabs]
    total = sum(counts)
    drawn = generator.choice(
        total, max(min(MOST_LOCATIONS, total), math.ceil(LEAST_SHARE * total)), replace=False, shuffle=False
    )
    voxels = np.empty((len(drawn), 3), dtype=np.int32)
    before = 0
    for number, (slab, count) in enumerate(zip(slabs, counts, strict=True)):
        here = (drawn >= before) & (drawn < before + count)
        if here.any():
            places = np.flatnonzero(is_inside(slab))[drawn[here] - before]
            voxels[here] = np.stack(np.unravel_index(places, slab.shape), axis=1)
            voxels[here, 0] += number * rows
        before += count
    return voxels + np.array([side.start for side in box], dtype=np.int32)
