"""What a stage is predicted to need, in training and in prediction."""

from __future__ import annotations

from statistics import median
from typing import Any

from autoseg.plan.plan import Stage
from autoseg.planner.decided import Decided, by
from autoseg.planner.measured_memory import GIGABYTE
from autoseg.planner.parts import Grounds


def predicted_memory(stage: Stage, grounds: Grounds) -> Decided[dict[str, float]]:
    """Memory of a training step, and of predicting the median image, GB.

    It is no value of the stage but follows from all of them; it is recorded so that the first real
    step can be compared with it, and people can see what a machine must have.

    Args:
        stage: as planned.
        grounds: what it was derived from.

    Returns:
        "training_gb" and "inference_gb", the libraries' workspace included.
    """
    machine, dataset = grounds.machine, grounds.fingerprint.dataset
    shape, budget = _prepared_shape(stage, grounds), grounds.budget.memory_gb
    tensors = machine.training_bytes(stage, dataset) / GIGABYTE
    training = tensors * (1 + machine.workspace_share)
    inference = machine.inference_bytes(stage, dataset, shape) / GIGABYTE * (1 + machine.workspace_share)
    facts: dict[str, Any] = {
        "tensors_gb": round(tensors, 3),
        "workspace_share": machine.workspace_share,
        "budget_gb": budget,
        "median_shape": shape,
    }
    reason = (
        f"A training step, traced without computing it, holds {tensors:.2f} GB of weights, gradients, optimiser state "
        f"and feature maps at its peak; with {100 * machine.workspace_share:.0f} % for the libraries' workspace that "
        f"is {training:.2f} of {budget:g} GB ({100 * training / budget:.0f} %). Predicting the median image "
        f"({by(shape)} voxels) takes {inference:.2f} GB."
    )
    value = {"training_gb": round(training, 3), "inference_gb": round(inference, 3)}
    return Decided(value, "predicted_memory", facts, reason)


def _prepared_shape(stage: Stage, grounds: Grounds) -> tuple[int, ...]:
    """Voxels of the median image as it is prepared for a stage, along the array's three axes."""
    if stage.dimensions == 2:  # slices are predicted one by one, and are as many as the file has
        first = grounds.order.value[0]
        shape = (median(case.shape_after_crop[first] for case in grounds.cases), *grounds.median_shape[1:])
    else:
        voxels = zip(grounds.median_shape, grounds.spacing.value, stage.preprocessing.spacing_mm, strict=True)
        shape = tuple(size * full / own for size, full, own in voxels)
    return tuple(max(round(size), 1) for size in shape)
