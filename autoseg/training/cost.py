"""What an iteration of training costs on this machine: measured, in a few real ones.

Comes in: a stage. Goes out: seconds an iteration. The planner asks this of the machine it plans for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import fmean

import numpy as np
import torch

from autoseg.dataset import Description
from autoseg.networks.devices import wait_for
from autoseg.networks.fake import input_channels, previous_channels
from autoseg.plan import Stage
from autoseg.preprocessing.previous import one_hot
from autoseg.training.augmentation import Sample, draw_view, draw_way, make_batch, samples_a_patch, transforms_of
from autoseg.training.step import make_learner, take_step

MOST_STEPS = 5  # that count, after one that warms up
ENOUGH_SECONDS = 1.0  # of steps that count, after which no more are taken
BLOCKS = 4  # of one class along each axis of made-up labels: where classes meet, turning them takes longer


def seconds_per_iteration(stage: Stage, dataset: Description, device: torch.device) -> float:
    """Time of an iteration on random data: augmentation, forward, loss, backward, optimiser.

    The mean of the augmentations, which differ by chance, and the fastest of the steps: whatever else runs on the
    machine can only add to it. Of a network that takes seconds a step, one step is enough.

    Args:
        stage: what to train.
        dataset: its channels and labels.
        device: where.

    Returns:
        Seconds. Reading patches goes on at the same time and is not counted.
    """
    learner = make_learner(stage, input_channels(stage, dataset), dataset.labels, device)
    augmenting: list[float] = []
    stepping: list[float] = []
    for samples, generators in _random_samples(stage, dataset):
        started = time.perf_counter()
        batch = make_batch(samples, stage.sampling.patch_size, stage.augmentation, generators, device)
        wait_for(device)
        augmented = time.perf_counter()
        take_step(learner, batch, learning_rate=1e-6)
        wait_for(device)
        augmenting.append(augmented - started)
        stepping.append(time.perf_counter() - augmented)
        if len(stepping) > 1 and sum(stepping[1:]) >= ENOUGH_SECONDS:
            break
    return fmean(augmenting[1:]) + min(stepping[1:])


def _random_samples(stage: Stage, dataset: Description) -> Iterator[tuple[list[Sample], list[np.random.Generator]]]:
    """Batches of noise as a loader would read them, with the random numbers of their augmentation."""
    source, size = np.random.default_rng(0), stage.sampling.batch_size
    members = samples_a_patch(stage.augmentation)
    for _ in range(1 + MOST_STEPS):
        yield [_random_sample(stage, dataset, source, place % members) for place in range(size)], source.spawn(size)


def _random_sample(stage: Stage, dataset: Description, source: np.random.Generator, member: int) -> Sample:
    way = draw_way(stage.augmentation, member, source)
    matrix, extent = draw_view(transforms_of(stage.augmentation, way), stage.sampling.patch_size, source)
    image = source.standard_normal((len(dataset.channels), *extent), dtype=np.float32)
    blocks = source.integers(len(dataset.labels.classes), size=[BLOCKS] * len(extent), dtype=np.int16)
    whole = np.kron(blocks, np.ones([-(-size // BLOCKS) for size in extent], np.int16))
    labels = whole[tuple(slice(size) for size in extent)].copy()
    previous = previous_channels(stage, dataset)
    image = np.concatenate((image, one_hot(labels, previous)))
    return Sample(image, labels, matrix, tuple((size - 1) / 2 for size in extent), previous, way)
