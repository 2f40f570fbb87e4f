"""What a training step costs on this machine: measured, in a few real steps.

Comes in: a stage. Goes out: seconds an iteration. The planner asks this of the machine it plans for.
"""

from __future__ import annotations

import time

import torch

from autoseg.dataset import Description
from autoseg.plan import Stage
from autoseg.training.augmentation import Batch
from autoseg.training.step import make_learner, take_step

FEWEST_STEPS, MOST_STEPS = 3, 8  # that count, after one that warms up
ENOUGH_SECONDS = 2.0  # after which the fewest steps do


def seconds_per_iteration(stage: Stage, dataset: Description, device: torch.device) -> float:
    """Time of a training step on random data: forward, loss, backward, optimiser.

    The fastest of a few: whatever else runs on the machine can only add to it.

    Args:
        stage: what to train.
        dataset: its channels and labels.
        device: where.

    Returns:
        Seconds. Loading and augmentation come on top; they are a small share.
    """
    learner = make_learner(stage, len(dataset.channels), dataset.labels, device)
    shape = (stage.sampling.batch_size, *stage.sampling.patch_size)
    source = torch.Generator().manual_seed(0)
    images = torch.randn((shape[0], len(dataset.channels), *shape[1:]), generator=source)
    classes = torch.randint(0, len(dataset.labels.classes), shape, generator=source, dtype=torch.int16)
    batch = Batch(images.to(device), classes.to(device))
    times: list[float] = []
    while len(times) <= FEWEST_STEPS or (len(times) <= MOST_STEPS and sum(times) < ENOUGH_SECONDS):
        started = time.perf_counter()
        take_step(learner, batch, learning_rate=1e-6)  # reads the loss, so it waits for the device
        times.append(time.perf_counter() - started)
    return min(times[1:])
