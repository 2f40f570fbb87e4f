"""What a stage is predicted to need, in training and in prediction."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from autoseg.errors import PlanError
from autoseg.fingerprint.model import CaseFacts, Fingerprint
from autoseg.geometry import in_mm, resampled_shape
from autoseg.memory import GIGABYTE
from autoseg.phrases import by, number, percent
from autoseg.plan.plan import Budget, Decision, Stage
from autoseg.planner.decided import Decided
from autoseg.planner.machine import Machine
from autoseg.planner.orientation import turned

# What the margin is for: what a trace does not see.
UNTRACED_ON_GPU = "gaps between blocks of memory and the GPU's driver"
UNTRACED = "memory that is not given back at once, cases being read and the program itself"

MOST_VOXELS = 10**12  # of a prepared image: 4 TB a channel
MOST_GB = 1000.0  # that a machine to predict on may have; where more is needed, another machine is no remedy


def predicted_memory(
    stage: Stage, fingerprint: Fingerprint, budget: Budget, machine: Machine
) -> Decided[dict[str, float]]:
    """Memory of a training step, and of predicting the median image, GB.

    It is no value of the stage but follows from all of them; it is recorded so that the first real
    step can be compared with it, and people can see what a machine must have.

    Args:
        stage: as planned.
        fingerprint: of the dataset it is for.
        budget: it is for.
        machine: predicts.

    Returns:
        "training_gb" and "inference_gb". Both are traced bytes, with what libraries take while they convolve, and
        on top the machine's margin for what no trace sees.
    """
    dataset, with_margin = fingerprint.dataset, 1 + machine.margin
    shape = prepared_shape(stage, fingerprint.cases)
    traced = machine.training_bytes(stage, dataset) / GIGABYTE
    training = round(traced * with_margin, 3)
    inference = round(machine.inference_bytes(stage, dataset, shape) / GIGABYTE * with_margin, 3)
    facts: dict[str, Any] = {
        "traced_gb": round(traced, 3),
        "margin": machine.margin,
        "budget_gb": budget.memory_gb,
        "median_shape": shape,
        "image_gb": round(4 * len(dataset.channels) * math.prod(shape) / GIGABYTE, 3),
    }
    too_much = f", more than the {number(budget.memory_gb)} GB of the budget" if inference > budget.memory_gb else ""
    reason = (
        f"A training step, gone through without computing, takes {number(round(traced, 3))} GB at its peak, what "
        f"libraries take while they convolve included. With a margin of {percent(machine.margin)} for "
        f"{UNTRACED_ON_GPU if budget.device == 'cuda' else UNTRACED} that is {number(training)} of "
        f"{number(budget.memory_gb)} GB ({percent(training / budget.memory_gb)}). Predicting the median image "
        f"({by(shape)} voxels) takes {number(inference)} GB, margin included{too_much}."
    )
    return Decided({"training_gb": training, "inference_gb": inference}, "predicted_memory", facts, reason)


def prediction_warnings(decisions: Mapping[str, Decision], budget: Budget) -> list[str]:
    """What to say of stages whose prediction needs more memory than there is: one sentence, or nothing.

    Args:
        decisions: of a plan, by path; those of `predicted_memory` are at stages.NAME.memory.
        budget: of the plan.
    """
    needed = {
        path.split(".")[1]: float(decision.value["inference_gb"])
        for path, decision in decisions.items()
        if decision.rule == "predicted_memory"
    }
    too_much = [f"{number(size)} GB with {name}" for name, size in needed.items() if size > budget.memory_gb]
    if not too_much:
        return []
    # On a processor the image is in the same memory, as it is and padded to the window.
    images = [2 * decision.facts.get("image_gb", 0.0) for decision in decisions.values() if budget.device == "cuda"]
    on_host = max(needed.values()) + max(images, default=0.0)
    remedy = "predict where there is more memory"
    if on_host > MOST_GB:
        remedy = "set larger voxels (--set stages.STAGE.preprocessing.spacing_mm=[…])"
    elif budget.device == "cuda":
        remedy = f"predict on the processor (--device cpu), in about {number(on_host)} GB of its memory"
    return [
        f"Predicting an image of median size is expected to take {', '.join(too_much)}, and the budget has "
        f"{number(budget.memory_gb)} GB. It may fail, in the validation after training as well: {remedy}, or cut "
        "images to the part that matters."
    ]


def prepared_shape(stage: Stage, cases: Sequence[CaseFacts]) -> tuple[int, ...]:
    """Voxels of the median image as it is prepared for a stage, along the array's three axes.

    Args:
        stage: turns, crops, orders and resamples; slices of a 2-D stage keep their distance.
        cases: as they are stored.
    """
    preparing = stage.preprocessing
    shapes: list[tuple[int, ...]] = []
    for case in (turned(case, preparing.orientation) for case in cases):
        voxels = case.shape_after_crop if preparing.crop_to_nonzero else case.shape
        if preparing.resize_to is not None:
            shapes.append((voxels[preparing.axis_order[0]], *preparing.resize_to))
            continue
        mm = tuple(case.spacing_mm[axis] for axis in preparing.axis_order)
        in_plane_mm = preparing.spacing_mm or ()
        wanted_mm = (*mm[: 3 - len(in_plane_mm)], *in_plane_mm)
        ordered = tuple(voxels[axis] for axis in preparing.axis_order)
        shapes.append(resampled_shape(ordered, mm, wanted_mm))
    return tuple(round(median(along)) for along in zip(*shapes, strict=True))


def refuse_absurd(path: str, spacing_mm: Sequence[float], shape: Sequence[float]) -> None:
    """Refuses voxels so small, for images so large, that no machine can hold the median image.

    Args:
        path: of the voxel size in the plan, for the message.
        spacing_mm: the voxel size.
        shape: voxels of the median image at that size.

    Raises:
        PlanError: these are more than 10¹².
    """
    if math.prod(shape) > MOST_VOXELS:
        raise PlanError(
            f"{path}: with voxels of {in_mm(spacing_mm)} mm the median image has {by(shape)}, more than any machine "
            f"can hold ({MOST_VOXELS:,}). Set larger voxels, or correct the spacing in the headers of the images."
        )
