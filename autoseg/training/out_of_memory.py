"""What is said when the memory of a device runs out in a step.

Comes in: torch's error. Goes out: what the plan predicted, what could be had, and what would fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from autoseg.dataset import Description
from autoseg.errors import TrainingError
from autoseg.memory import GIGABYTE
from autoseg.phrases import by
from autoseg.plan import Stage
from autoseg.planner.memory import largest_batch
from autoseg.training.memory import training_bytes

SHARE = 0.95  # of the memory that could be had, that a smaller batch may take


@contextmanager
def explained(stage: Stage, name: str, dataset: Description, device: torch.device) -> Iterator[None]:
    """Inside, running out of memory is a `TrainingError` that says what would fit.

    Args:
        stage: that is trained.
        name: of the stage in its plan.
        dataset: its channels and labels.
        device: where.
    """
    try:
        yield
    except torch.OutOfMemoryError as problem:
        had = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
        patch, size = by(stage.sampling.patch_size), stage.sampling.batch_size
        predicted = training_bytes(stage, dataset, device)
        could = f", and {had / GIGABYTE:.2f} GB could be had" if had else ""
        remedy = _remedy(stage, name, dataset, device, had)
        raise TrainingError(
            f"the memory of {device} ran out on a batch of {size} patches of {patch} voxels: a step was predicted to "
            f"take {predicted / GIGABYTE:.2f} GB{could} ({str(problem).splitlines()[0]}). {remedy} End what else "
            "uses the device, if anything does. The last checkpoint is kept."
        ) from None


def _remedy(stage: Stage, name: str, dataset: Description, device: torch.device, had: float) -> str:
    def fits(smaller: Stage) -> bool:
        return training_bytes(smaller, dataset, device) <= SHARE * had

    fitting = largest_batch(stage, fits) if had else None
    if fitting is not None:
        return f"A batch of {fitting} would fit: --set stages.{name}.sampling.batch_size={fitting}."
    less = f"{SHARE * had / GIGABYTE:.1f}" if had else "GB"
    return f"Derive a plan for less memory (autoseg plan … --memory {less} --name NAME)."
