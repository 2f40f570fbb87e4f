"""The learning-rate range test: which rates a network learns with.

Comes in: a training that could begin. Goes out: the loss of steps whose rate rises from one to the next, and a rate to
train with. Nothing is kept of what was learnt.

Source: Smith 2017, doi:10.1109/WACV.2017.58.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from autoseg.frozen import Frozen
from autoseg.networks.fake import input_channels, previous_channels
from autoseg.progress import Progress, silent
from autoseg.training.augmentation import make_batch
from autoseg.training.job import Job
from autoseg.training.loading import load_batches
from autoseg.training.patch_source import TRAINING, PatchSource
from autoseg.training.step import find_loss, lower_loss, make_learner

NEWEST = 0.2  # share of the newest loss in the moving average
DIVERGED = 4.0  # times the best average, at which the test ends
BELOW_BEST = 10.0  # times lower than the rate of the best average is the rate suggested


class RateRange(Frozen):
    """What a range test found.

    Attributes:
        rates: learning rate of each step.
        losses: of the batch before that step.
        averages: of the losses so far, the newest ones counting most.
        diverged: the average rose to 4 times its best, or the loss was not finite any more.
        best: the rate at which the average was lowest; None where it never fell.
        suggestion: a tenth of that, to two digits: there the loss falls fast and is safe from rising. None where the
            average still fell at the highest rate: nobody knows where it rises.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    averages: tuple[float, ...]
    diverged: bool
    best: float | None
    suggestion: float | None


def find_rate_range(job: Job, first: float, last: float, iterations: int, progress: Progress = silent) -> RateRange:
    """Takes steps from fresh weights, each with a rate higher by the same factor, until the loss diverges.

    Args:
        job: whose stage is trained, on its training cases; its schedule is not used, and its folder not written to.
        first: learning rate of the first step.
        last: of the last.
        iterations: steps between, both included.
        progress: told of every step.

    Raises:
        TrainingError: a process that loads patches died.
    """
    stage, dataset = job.stage, job.plan.dataset
    learner = make_learner(stage, input_channels(stage, dataset), dataset.labels, job.device)
    seen = previous_channels(stage, dataset)
    patches = PatchSource(job.training, stage, TRAINING, previous=seen, labels=dataset.labels)
    rates, losses = rising_rates(first, last, iterations), list[float]()
    with (
        load_batches(patches, 0, job.workers) as batches,
        progress(f"range test of {job.stage_name}, fold {job.fold}", iterations) as step,
    ):
        for iteration, rate in enumerate(rates):
            generators = patches.generators(iteration)
            batch = make_batch(next(batches), stage.sampling.patch_size, stage.augmentation, generators, job.device)
            loss = find_loss(learner, batch)
            losses.append(float(loss.detach()))
            if has_diverged(losses):
                break
            lower_loss(learner, loss, rate)
            step(1, f"learning rate {rate:.1e}, loss {losses[-1]:.3f}")
    return judge(rates, losses)


def rising_rates(first: float, last: float, count: int) -> list[float]:
    """Rates that rise by the same factor.

    >>> rising_rates(0.01, 1.0, 3)
    [0.01, 0.1, 1.0]
    """
    return [first ** (1 - place / (count - 1)) * last ** (place / (count - 1)) for place in range(count)]


def judge(rates: Sequence[float], losses: Sequence[float]) -> RateRange:
    """Which rate to take.

    Args:
        rates: of the steps, rising.
        losses: before each, as many as steps were tried; the last may be NaN or infinity.
    """
    finite = [loss for loss in losses if math.isfinite(loss)]
    averages = moving_average(finite)
    place = min(range(len(averages)), key=averages.__getitem__, default=0)
    best = rates[place] if place else None
    diverged = has_diverged(losses)
    found = best is not None and (diverged or place < len(averages) - 1)
    return RateRange(
        rates=tuple(rates[: len(finite)]),
        losses=tuple(finite),
        averages=tuple(averages),
        diverged=diverged,
        best=best,
        suggestion=float(f"{best / BELOW_BEST:.1e}") if found and best is not None else None,
    )


def has_diverged(losses: Sequence[float]) -> bool:
    """Whether the last loss is not finite, or the average has risen to 4 times its best; losses may lie below 0."""
    if not math.isfinite(losses[-1]):
        return True
    averages = moving_average(losses)
    best = min(averages)
    return averages[-1] > best + (DIVERGED - 1) * abs(best)


def moving_average(values: Sequence[float]) -> list[float]:
    """The exponential moving average, as if nothing had been before the first value.

    >>> [round(average, 2) for average in moving_average([1.0, 1.0, 4.0])]
    [1.0, 1.0, 2.23]
    """
    averages, total = [], 0.0
    for count, value in enumerate(values, start=1):
        total = NEWEST * value + (1 - NEWEST) * total
        averages.append(total / (1 - (1 - NEWEST) ** count))
    return averages
