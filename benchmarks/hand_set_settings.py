"""What a person would set so that a plan for one dataset can be trained on another: one rule for all of them.

Comes in: a hand-set plan, the fingerprint of the dataset, and what is planned for it. Goes out: PATH=VALUE settings, as
`autoseg plan --like PLAN --set …` takes them. Only what is in the units of the plan's own dataset is set:

- voxel size: the planned one. A stage that others build on has larger voxels only where the median image would else be
  larger than its published patch, and by no more than the published factor;
- patch: the smallest that the strides divide and that holds the median image, no larger than the published one;
- intensities: a fixed window of Hounsfield units becomes the planned normalisation. What stands for air becomes the
  lowest intensity of the images;
- a box of fixed size in millimetres is no larger than the largest image;
- validation batches an epoch: no more than planned, for they take from the minutes.

Where the dataset has the labels of the plan's own and is CT like it, intensities stay as published, and so do voxel
sizes, unless they are finer than the planned ones. Batch size, features, losses, optimiser, rates, schedules,
augmentation, overlap and postprocessing are never touched, but for a batch that does not fit the memory, which is the
largest share of the published one that does.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from autoseg.fingerprint import Fingerprint
from autoseg.plan import Plan, Stage
from autoseg.plan.augmentation_checks import patches_together
from autoseg.planner.orientation import turned
from autoseg.planner.spacing import target_spacing


def settings_for(plan: Plan, fingerprint: Fingerprint, planned: Stage) -> list[str]:
    """What to set by hand, PATH=VALUE.

    Args:
        plan: hand-set, for another dataset or budget.
        fingerprint: facts about the dataset.
        planned: what autoseg plans for it; its normalisation is taken.
    """
    found = []
    for name, stage in plan.stages.items():
        values = stage_values(plan, name, stage, fingerprint, planned)
        found += [f"stages.{name}.{path}={json.dumps(value)}" for path, value in values.items()]
    return found


def stage_values(plan: Plan, name: str, stage: Stage, fingerprint: Fingerprint, planned: Stage) -> Mapping[str, Any]:
    """Path within a stage → value."""
    cases = [turned(case, stage.preprocessing.orientation) for case in fingerprint.cases]
    shapes = [case.shape_after_crop if stage.preprocessing.crop_to_nonzero else case.shape for case in cases]
    spacings = [case.spacing_mm for case in cases]
    flat = all(shape[0] == 1 for shape in shapes)
    target = target_spacing(spacings, [case.shape_after_crop for case in cases], flat).value
    extents_mm = np.multiply(shapes, spacings)
    at_home = is_of_the_kind(plan, fingerprint, planned)
    values: dict[str, Any] = {}

    box_mm = extents_mm.max(axis=0)
    crop = None if stage.previous is None else stage.previous.crop
    if crop is not None and crop.kind == "box":
        box_mm = np.minimum(box_mm, crop.size_mm)
        values["previous.crop.size_mm"] = [round(float(size), 2) for size in box_mm]
    if not at_home:
        air = fingerprint.image_intensities[0].min if fingerprint.image_intensities else 0.0
        if stage.previous is not None and stage.previous.mask is not None:
            values["previous.mask.value"] = air
        if stage.inference.air is not None:
            values["inference.air"] = None
        values["preprocessing.normalisation"] = [
            (planned.preprocessing.normalisation[channel] if scale.kind == "ct" else scale).model_dump(mode="json")
            for channel, scale in enumerate(stage.preprocessing.normalisation)
        ]
    median_mm = np.minimum(np.median(extents_mm, axis=0), box_mm)[-stage.dimensions :]
    spacing = voxel_size(plan, name, target, median_mm, at_home)
    patch = patch_size(stage, [math.ceil(round(mm / by, 3)) for mm, by in zip(median_mm, spacing, strict=True)])
    if getattr(stage.preprocessing, "resize_to", None):
        values["preprocessing.resize_to"] = patch
    else:
        values["preprocessing.spacing_mm"] = [round(size, 4) for size in spacing]
    values["sampling.patch_size"] = patch
    looked_at = min(stage.training.validation_iterations, planned.training.validation_iterations)
    return {**values, "training.validation_iterations": looked_at}


def voxel_size(
    plan: Plan, name: str, target: Sequence[float], median_mm: Sequence[float], at_home: bool
) -> tuple[float, ...]:
    """Voxels of a stage, mm, along its own axes."""
    stage = plan.stages[name]
    published, aimed = stage.preprocessing.spacing_mm, tuple(target)[-stage.dimensions :]
    if published is None:
        return aimed
    if at_home:
        return tuple(max(theirs, ours) for theirs, ours in zip(published, aimed, strict=True))
    following = [one for one in plan.stages.values() if one.previous is not None and one.previous.stage == name]
    if not following:
        return aimed
    while deeper := [s for s in plan.stages.values() if s.previous and plan.stages[s.previous.stage] in following]:
        following = deeper
    coarser = geometric_mean(published) / geometric_mean(following[0].preprocessing.spacing_mm)
    too_large = max(mm / by / n for mm, by, n in zip(median_mm, aimed, stage.sampling.patch_size, strict=True))
    factor = min(max(1.0, too_large), max(1.0, coarser))
    return tuple(factor * size for size in aimed)


def patch_size(stage: Stage, shape: Sequence[int]) -> list[int]:
    """The smallest patch that the strides divide and that holds an image of this shape; not above the published one.

    The strides leave more than one voxel of it, and it is square where views turn it by 90°.
    """
    divisor, published = stage.network.divisor, stage.sampling.patch_size
    if any(view.quarter_turns % 2 for view in stage.inference.views):
        shape = (*shape[:-2], max(shape[-2:]), max(shape[-2:]))
    sizes = [min(most, math.ceil(size / by) * by) for size, by, most in zip(shape, divisor, published, strict=True)]
    return [2 * size for size in sizes] if sizes == list(divisor) else sizes


def is_of_the_kind(plan: Plan, fingerprint: Fingerprint, planned: Stage) -> bool:
    """Whether a dataset has the labels that the plan's own has, and is CT like it."""
    both_ct = all(scale.kind == "ct" for scale in planned.preprocessing.normalisation)
    return both_ct and set(plan.dataset.labels.targets) == set(fingerprint.dataset.labels.targets)


def smaller_batches(stage: Stage) -> Iterator[int]:
    """Batches below a stage's, the largest first; a patch and its copies stay together."""
    together = patches_together(stage.augmentation)
    yield from range(stage.sampling.batch_size - together, 0, -together)


def geometric_mean(values: Sequence[float]) -> float:
    """Of positive numbers.

    >>> geometric_mean((1, 4))
    2.0
    """
    return math.prod(values) ** (1 / len(values))
