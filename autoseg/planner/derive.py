"""Facts + budget → plan.

Comes in: a fingerprint, a budget, a machine to ask. Goes out: the plan, with a decision for every
value in it. Each rule has a file of its own; `stage.py` gathers what they say of one stage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from pydantic_core import to_jsonable_python

from autoseg.dataset.folds import ONE_CASE, ONE_CASE_REMEDY
from autoseg.dataset.outliers import outliers
from autoseg.files import content_hash
from autoseg.fingerprint.model import CaseFacts, Fingerprint
from autoseg.plan.plan import Budget, Decision, Plan, PresetName
from autoseg.planner.axis_order import axis_order
from autoseg.planner.decided import Decided
from autoseg.planner.length import TAKES_LONG
from autoseg.planner.lowres import low_resolution
from autoseg.planner.machine import Machine
from autoseg.planner.memory import TooLittleMemory
from autoseg.planner.normalisation import REPEAT
from autoseg.planner.orientation import common_orientation, turned
from autoseg.planner.parts import Grounds, StageImages, build_stage
from autoseg.planner.predicted import predicted_memory, prediction_warnings, refuse_absurd
from autoseg.planner.presets import PRESETS, standard_rules
from autoseg.planner.sizes import Sizes, find_sizes, fits, search_memory
from autoseg.planner.spacing import median_resampled_shape, target_spacing
from autoseg.planner.stage import derive_parts

NNUNET_ORIENTATION: Decided[str | None] = Decided(
    None, "conventions", {}, "nnU-Net leaves the axes of each image as its file has them."
)
OUT_OF_PLANE = 999.0  # nnU-Net takes a 2-D image for a slice this many times thicker than its pixels are wide


def derive_plan(
    fingerprint: Fingerprint,
    budget: Budget,
    machine: Machine,
    name: str = "default",
    preset: PresetName = "standard",
) -> Plan:
    """Decides everything about the models of a dataset.

    With one of nnU-Net's presets these are its decisions, whatever time there is. With `standard` the memory
    that networks need is predicted, and with a time limit they are made small enough to be trained in it, which
    the machine is asked to measure.

    Args:
        fingerprint: facts about the dataset.
        budget: device, memory, minutes.
        machine: precision, what a training step needs, and how long it takes.
        name: of the plan.
        preset: the rules to derive it by.

    Raises:
        PlanError: the images are too small for a network, or larger than any machine can hold.
        TooLittleMemory: the memory is too small; the message says what is enough.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z.
    """
    grounds = grounds_for(fingerprint, budget, machine, preset)
    refuse_absurd("preprocessing.spacing_mm", grounds.spacing.value, grounds.median_shape)
    try:
        fitted = _fitted(grounds)
    except TooLittleMemory as problem:
        raise _enough_for_all(grounds, problem) from None
    if (voxels := _voxels_in_time(grounds, fitted)) is not None:
        with suppress(TooLittleMemory):  # so small a patch is none for a network: then without a low resolution
            fitted = _fitted(grounds, voxels)
    stages, decisions = {}, {}
    for stage_name, (images, sizes) in fitted.items():
        parts = derive_parts(grounds, images, sizes)
        stage = stages[stage_name] = build_stage(parts)
        for path in sorted(parts):
            decisions[f"stages.{stage_name}.{path}"] = recorded(parts[path])
        if not grounds.preset.as_nnunet:  # its rules ask nobody; tracing would take longer than all of them
            decisions[f"stages.{stage_name}.memory"] = recorded(predicted_memory(stage, fingerprint, budget, machine))
    return Plan(
        name=name,
        dataset=fingerprint.dataset,
        budget=budget,
        preset=preset,
        facts=facts_hash(fingerprint),
        stages=stages,
        decisions=decisions,
        warnings=(*_warnings(grounds), *prediction_warnings(decisions, budget)),
    )


def facts_hash(fingerprint: Fingerprint) -> str:
    """Hash of what a plan is derived from, whenever and wherever it was measured, whatever the dataset is called."""
    return content_hash(fingerprint.model_dump(mode="json", exclude={"files": True, "dataset": {"name"}}))


def grounds_for(fingerprint: Fingerprint, budget: Budget, machine: Machine, preset: PresetName) -> Grounds:
    """What all stages of a plan are derived from, and what is predicted of them; as `derive_plan`."""
    rules = standard_rules(budget.minutes) if preset == "standard" else PRESETS[preset]
    flat = fingerprint.dataset.dimensions == 2
    orientation = NNUNET_ORIENTATION if rules.as_nnunet else common_orientation(fingerprint.cases)
    cases = tuple(turned(case, orientation.value) for case in fingerprint.cases)
    spacings_mm = [case.spacing_mm for case in cases]
    shapes = [case.shape_after_crop for case in cases]
    if flat and rules.as_nnunet:
        # Where pixels differ in size between the images, nnU-Net "resamples" across them, too; it counts in batches.
        spacings_mm = [(OUT_OF_PLANE * max(y, x), y, x) for _, y, x in spacings_mm]
        flat = False
    spacing = target_spacing(spacings_mm, shapes, flat)
    shape = median_resampled_shape(spacings_mm, shapes, spacing.value)
    order = axis_order(spacing.value, shape, flat, single_first=not rules.as_nnunet)
    return Grounds(
        fingerprint,
        budget,
        machine,
        rules,
        orientation,
        cases,
        order,
        spacing._replace(value=tuple(spacing.value[axis] for axis in order.value)),
        tuple(shape[axis] for axis in order.value),
        {},
    )


def _fitted(grounds: Grounds, most_voxels: int | None = None) -> dict[str, tuple[StageImages, Sizes]]:
    """Name of a stage → the images as it sees them, and what fits the memory.

    Images of one slice have no volume to learn from.

    Args:
        grounds: what all stages are derived from.
        most_voxels: of a patch, for the low resolution; None where the memory alone counts.
    """
    spacing, shape = grounds.spacing, grounds.median_shape
    full = StageImages(spacing, shape, math.prod(shape))
    slices = StageImages(spacing._replace(value=spacing.value[1:]), shape[1:], full.image_voxels)
    stages = {"2d": (slices, find_sizes(grounds, slices))}
    if grounds.fingerprint.dataset.dimensions == 2 or shape[0] <= 1:
        return stages
    volumes = find_sizes(grounds, full)
    lower = partial(low_resolution, spacing.value, shape, most_voxels=most_voxels)
    low = search_memory(grounds, full, volumes.candidate.first_features, lower)
    if low is None:
        return {**stages, "3d_fullres": (full, volumes)}
    overview = StageImages(low.spacing, low.median_shape, low.voxels)
    full = full._replace(low_resolution=True)
    # The cascade is the stage at full resolution, unless the channels it sees besides are too much for the memory.
    cascade = full._replace(refines="3d_lowres")
    refined = volumes if fits(grounds, cascade, volumes.candidate) else find_sizes(grounds, cascade)
    return {
        **stages,
        "3d_lowres": (overview, find_sizes(grounds, overview)),
        "3d_fullres": (full, volumes),
        "3d_cascade": (cascade, refined),
    }


def _voxels_in_time(grounds: Grounds, fitted: dict[str, tuple[StageImages, Sizes]]) -> int | None:
    """Voxels of a patch of volumes that is small for want of time; None where there is none."""
    if grounds.budget.minutes is None or grounds.preset.as_nnunet or "3d_fullres" not in fitted:
        return None
    images, sizes = fitted["3d_fullres"]
    patch: tuple[int, ...] = derive_parts(grounds, images, sizes)["sampling.patch_size"].value
    planned = sizes.candidate.topology.patch_size
    return math.prod(patch) if math.prod(patch) < math.prod(planned) else None


def _enough_for_all(grounds: Grounds, problem: TooLittleMemory) -> TooLittleMemory:
    """The problem of the stage that needs the most; the first that lacked memory need not be that one."""
    while True:
        enough = grounds.budget.model_copy(update={"memory_gb": problem.enough_gb})
        try:
            _fitted(grounds._replace(budget=enough))
        except TooLittleMemory as greater:
            problem = greater
        else:
            return problem.of(grounds.budget.memory_gb)


def _warnings(grounds: Grounds) -> tuple[str, ...]:
    """What a person should know before training."""
    found, budget = dataset_warnings(grounds.fingerprint, grounds.cases), grounds.budget
    if not grounds.preset.as_nnunet and budget.device == "cpu" and budget.minutes is None:
        found.append(TAKES_LONG)
    return tuple(found)


def dataset_warnings(fingerprint: Fingerprint, cases: Sequence[CaseFacts]) -> list[str]:
    """What of it is about the dataset: a single case, cases unlike the others, and images that are missing.

    Args:
        fingerprint: facts about the dataset.
        cases: its cases, turned as the plan's stages turn them.
    """
    if not fingerprint.has_images:
        return [*outliers(cases), REPEAT]
    return [f"{ONE_CASE[0].upper()}{ONE_CASE[1:]}. {ONE_CASE_REMEDY}"] if len(cases) == 1 else [*outliers(cases)]


def recorded(decided: Decided[Any]) -> Decision:
    """A decision as a plan records it."""
    # As JSON's types, so that a plan read from its file equals the plan that was written.
    return Decision(
        value=to_jsonable_python(decided.value),
        rule=decided.rule,
        facts=to_jsonable_python(decided.facts),
        reason=decided.reason,
        alternative=decided.alternative,
    )
