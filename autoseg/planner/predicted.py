"""What a stage is predicted to need, in training and in prediction."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from autoseg.plan.plan import Budget, Decision, Stage
from autoseg.planner.decided import Decided, by, number, percent
from autoseg.planner.measured_memory import GIGABYTE
from autoseg.planner.parts import Grounds

# What the margin is for: what a trace does not see.
UNTRACED_ON_GPU = "gaps between blocks of memory and the GPU's driver"
UNTRACED = "memory that is not given back at once, cases being read and the program itself"


def predicted_memory(stage: Stage, grounds: Grounds) -> Decided[dict[str, float]]:
    """Memory of a training step, and of predicting the median image, GB.

    It is no value of the stage but follows from all of them; it is recorded so that the first real
    step can be compared with it, and people can see what a machine must have.

    Args:
        stage: as planned.
        grounds: what it was derived from.

    Returns:
        "training_gb" and "inference_gb". Both are traced bytes, with what libraries take while they convolve, and
        on top the machine's margin for what no trace sees.
    """
    machine, dataset, budget = grounds.machine, grounds.fingerprint.dataset, grounds.budget
    shape, with_margin = _prepared_shape(stage, grounds), 1 + machine.margin
    traced = machine.training_bytes(stage, dataset) / GIGABYTE
    training = round(traced * with_margin, 3)
    inference = round(machine.inference_bytes(stage, dataset, shape) / GIGABYTE * with_margin, 3)
    facts: dict[str, Any] = {
        "traced_gb": round(traced, 3),
        "margin": machine.margin,
        "budget_gb": budget.memory_gb,
        "median_shape": shape,
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
    elsewhere = "on the processor (--device cpu)" if budget.device == "cuda" else "where there is more memory"
    return [
        f"Predicting an image of median size is expected to take {', '.join(too_much)}, and the budget has "
        f"{number(budget.memory_gb)} GB. It may fail, in the validation after training as well: predict {elsewhere}, "
        "or cut images to the part that matters."
    ]


def _prepared_shape(stage: Stage, grounds: Grounds) -> tuple[int, ...]:
    """Voxels of the median image as it is prepared for a stage, along the array's three axes."""
    own_mm = stage.preprocessing.spacing_mm
    axes = slice(-len(own_mm), None)
    shape = [
        size * full / own
        for size, full, own in zip(grounds.median_shape[axes], grounds.spacing.value[axes], own_mm, strict=True)
    ]
    if stage.dimensions == 2:  # slices are predicted one by one, and are as many as the file has
        shape.insert(0, median(case.shape_after_crop[grounds.order.value[0]] for case in grounds.cases))
    return tuple(max(round(size), 1) for size in shape)
