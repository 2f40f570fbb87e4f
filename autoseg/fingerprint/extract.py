"""Dataset → fingerprint: every case is read once, several at a time.

Comes in: a dataset. Goes out: its `Fingerprint`: grids, foreground intensities, label sizes.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoseg.connected import connected_components
from autoseg.dataset.changes import files_hash
from autoseg.dataset.dataset import IMAGES_REMEDY, Case, Dataset
from autoseg.dataset.description import Description
from autoseg.dataset.images import Image, read_label_map
from autoseg.dataset.reading import read_case
from autoseg.errors import DatasetError
from autoseg.fingerprint.crop import nonzero_box
from autoseg.fingerprint.model import (
    CaseFacts,
    Fingerprint,
    ImageIntensities,
    Intensities,
    LabelFacts,
    Spread,
)
from autoseg.fingerprint.orientation import orientation
from autoseg.parallel import map_items
from autoseg.progress import Progress, silent

logger = logging.getLogger(__name__)

SEED = 1234

# Foreground voxels sampled in all cases together. nnU-Net takes ten times as many, 400 MB a channel;
# with these, the 0.5th percentile of the sample lies between the 0.49th and 0.51st of the foreground.
SAMPLES = 10_000_000

Samples = NDArray[np.float32]  # (channels, voxels)


class _Part(NamedTuple):
    """One target in one case."""

    voxels: int
    volume_mm3: float
    components: int


class _Range(NamedTuple):
    """One channel of a whole image."""

    lowest: float
    highest: float
    whole_numbers: bool


class _Measured(NamedTuple):
    """What is kept of one case."""

    facts: CaseFacts
    samples: Samples
    ranges: tuple[_Range, ...]
    parts: dict[str, _Part]


def extract_fingerprint(dataset: Dataset, processes: int | None = None, progress: Progress = silent) -> Fingerprint:
    """Measures every training case. The result does not depend on the number of processes.

    Where no case has an image, sizes and labels are measured on the label maps, and the intensities
    stay unknown.

    Args:
        dataset: its training cases must have label maps.
        processes: each reads a case at a time; None for one a core.
        progress: told of every case.

    Raises:
        DatasetError: a case lacks its label map or cannot be read, image and label map do not
            fit each other or the description, or no case has any foreground.
    """
    advice = f"`autoseg check {dataset.path}` lists all that is wrong with the dataset."
    if not dataset.cases:
        raise DatasetError(f"{dataset.path} holds no training cases. {advice}")
    if not dataset.has_images:
        logger.warning("warning: %s: %s. %s", dataset.path, dataset.lack_of_images, IMAGES_REMEDY)
    files = files_hash(dataset.cases)  # before reading: a change in between makes the fingerprint outdated, not wrong
    measured = map_items(
        partial(_measure, dataset.description, dataset.has_images, SAMPLES // len(dataset.cases), advice),
        list(enumerate(dataset.cases)),
        processes,
        "measuring",
        progress,
        name=lambda item: item[1].name,
    )
    samples = np.concatenate([case.samples for case in measured], axis=1)
    if samples.shape[1] == 0:
        raise DatasetError(f"{dataset.path}: every label map is empty, there is nothing to learn. {advice}")
    return Fingerprint(
        dataset=dataset.description,
        cases=tuple(case.facts for case in measured),
        intensities=tuple(_intensities(channel) for channel in samples),
        median_relative_size=float(np.median([case.facts.relative_size for case in measured])),
        labels={
            name: _label_facts(values, [case.parts[name] for case in measured])
            for name, values in dataset.description.labels.targets.items()
        },
        files=files,
        image_intensities=tuple(
            _image_intensities(channel) for channel in zip(*(case.ranges for case in measured), strict=True)
        ),
    )


def _measure(description: Description, has_images: bool, quota: int, advice: str, item: tuple[int, Case]) -> _Measured:
    """Reads one case; runs in a worker process."""
    place, case = item
    try:
        image, label_map = read_case(case, description) if has_images else _read_label_map(case)
        classes = description.labels.to_classes(label_map)
    except DatasetError as problem:
        raise DatasetError(f"case '{case.name}': {problem}\n{advice}") from None
    samples = _sample(image.array, classes > 0, quota, np.random.default_rng([SEED, place]))
    box = nonzero_box(image.array)
    after_crop = tuple(part.stop - part.start for part in box)
    facts = CaseFacts(
        name=case.name,
        shape=image.grid.shape,
        spacing_mm=image.grid.spacing_mm,
        shape_after_crop=after_crop,
        relative_size=math.prod(after_crop) / math.prod(image.grid.shape),
        orientation=orientation(image.grid),
    )
    voxel_mm3 = math.prod(image.grid.spacing_mm)
    targets = description.labels.target_classes
    parts = {name: _part(np.isin(classes, of), voxel_mm3) for name, of in targets.items()}
    return _Measured(facts, samples, tuple(_range(channel) for channel in image.array), parts)


def _read_label_map(case: Case) -> tuple[Image, NDArray[np.integer]]:
    """A label map, and an image on its grid that has no channel."""
    if case.label is None:
        raise DatasetError("neither an image nor a label map. Add both, or take the case out of the training cases.")
    label_map, grid = read_label_map(case.label)
    return Image(np.empty((0, *grid.shape), dtype=np.float32), grid), label_map


def _sample(
    image: NDArray[np.float32], foreground: NDArray[np.bool_], quota: int, random: np.random.Generator
) -> Samples:
    """All foreground voxels, or `quota` of them drawn uniformly, none twice."""
    places = np.flatnonzero(foreground)
    if len(places) > quota:
        places = np.sort(random.choice(places, quota, replace=False, shuffle=False))
    return image.reshape(len(image), foreground.size)[:, places]


def _range(channel: NDArray[np.float32]) -> _Range:
    whole = all(np.array_equal(part, np.rint(part)) for part in channel)  # slice by slice: most others end at once
    return _Range(float(channel.min()), float(channel.max()), whole)


def _part(mask: NDArray[np.bool_], voxel_mm3: float) -> _Part:
    voxels = int(mask.sum())
    if voxels == 0:
        return _Part(0, 0.0, 0)
    inside = np.ascontiguousarray(mask[nonzero_box(mask[None])])
    components = connected_components(inside)[1]
    return _Part(voxels, voxels * voxel_mm3, int(components))


def _intensities(samples: NDArray[np.float32]) -> Intensities:
    values = samples.astype(np.float64)
    low, median, high = np.percentile(values, [0.5, 50, 99.5])
    return Intensities(
        mean=float(values.mean()),
        median=float(median),
        std=float(values.std()),
        min=float(values.min()),
        max=float(values.max()),
        percentile_00_5=float(low),
        percentile_99_5=float(high),
    )


def _image_intensities(ranges: Sequence[_Range]) -> ImageIntensities:
    return ImageIntensities(
        min=float(np.median([one.lowest for one in ranges])),
        max=float(np.median([one.highest for one in ranges])),
        whole_numbers=float(np.mean([one.whole_numbers for one in ranges])),
    )


def _label_facts(values: tuple[int, ...], parts: Sequence[_Part]) -> LabelFacts:
    present = [part for part in parts if part.voxels]
    return LabelFacts(
        values=values,
        voxels=sum(part.voxels for part in present),
        share_of_cases=len(present) / len(parts),
        volume_mm3=_spread([part.volume_mm3 for part in present]),
        components=_spread([part.components for part in present]),
    )


def _spread(numbers: Sequence[float]) -> Spread | None:
    if not numbers:
        return None
    return Spread(min=min(numbers), median=float(np.median(numbers)), max=max(numbers))
