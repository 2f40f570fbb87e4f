"""The memory of a real step, compared with what was predicted.

Comes in: a learner, a batch and a step to take. Goes out: bytes at the step's peak, and a line in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor

from autoseg.memory import GIGABYTE
from autoseg.networks.live_bytes import LiveBytes
from autoseg.training.augmentation import Batch
from autoseg.training.step import Learner

logger = logging.getLogger(__name__)

TOLERANCE = 0.1  # of the measured bytes, up to which predicted ones may differ without a warning

Result = TypeVar("Result")


def step_peak(
    step: Callable[[], Result], learner: Learner, batch: Batch, beside: Iterable[Tensor] = ()
) -> tuple[Result, int]:
    """Takes a real step and says how many bytes were in use at its peak.

    On a GPU that is what its allocator counted; elsewhere tensors are added up as they come and go,
    and what libraries take is estimated as in a prediction.

    Args:
        step: takes it.
        learner: whose weights it changes.
        batch: on which.
        beside: other tensors that are there all the time.

    Returns:
        What the step returned, and bytes.
    """
    if learner.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(learner.device)
        result = step()
        return result, torch.cuda.max_memory_allocated(learner.device)
    with LiveBytes(learner.device.type) as tracker:
        tracker.hold(_lasting(learner))
        tracker.hold(batch)
        tracker.hold(beside)
        result = step()
        return result, tracker.peak


def log_step_memory(predicted: int, measured: int) -> None:
    """Tells of both, as a warning where they are far apart; in bytes."""
    message = f"memory of a step: predicted {predicted / GIGABYTE:.3g} GB, measured {measured / GIGABYTE:.3g} GB"
    if abs(predicted - measured) <= TOLERANCE * measured:
        logger.info("%s", message)
        return
    logger.warning(
        "%s: more than %.0f %% off. Plans for this machine may not fit its memory, or leave some of it unused; "
        "autoseg plan … --memory GB --name NAME derives one for less or for more.",
        message,
        100 * TOLERANCE,
    )


def _lasting(learner: Learner) -> Iterable[Any]:
    """What of a learner stays from step to step, and the gradients."""
    for weights in learner.network.parameters():
        yield from (weights, weights.grad)
    for remembered in learner.optimizer.state.values():
        yield from remembered.values()
