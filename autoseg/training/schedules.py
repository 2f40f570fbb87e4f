"""Learning rates over the course of a training.

Comes in: the plan's schedule, how much of the training is done, and the log of the epochs that are finished. Goes out:
the learning rate. There is no state: schedules that follow the log read all of it, so that a training that goes on
after a stop has the rates it would have had.
"""

from __future__ import annotations

import math

from autoseg.plan.training import Constant, Cosine, FactorBelow, OneCycle, Poly, ReduceOnPlateau, Schedule
from autoseg.training.improvement import Rows, improvements


def learning_rate(schedule: Schedule, start: float, progress: float, rows: Rows = ()) -> float:
    """The learning rate of the next step.

    Args:
        schedule: from the plan.
        start: the optimiser's learning rate, which the schedule begins with; `OneCycle` rises to it.
        progress: share of the training that is done, 0…1.
        rows: of the log, one a finished epoch, with the keys train_loss, validation_loss and mean_dice.

    >>> learning_rate(Poly(power=1.0), 0.01, 0.25)
    0.0075
    >>> learning_rate(Cosine(minimum=1e-7), 1e-3, 1.0)
    1e-07
    >>> learning_rate(Constant(warm_up=0.1), 0.01, 0.05)
    0.005
    """
    progress = min(max(progress, 0.0), 1.0)
    if isinstance(schedule, OneCycle):
        return start * _one_cycle(schedule, progress)
    warmed = min(1.0, progress / schedule.warm_up) if schedule.warm_up else 1.0
    progress = max(0.0, progress - schedule.warm_up) / (1 - schedule.warm_up)
    match schedule:
        case Constant():
            rate = start
        case Poly(power=power):
            rate = start * (1 - progress) ** power
        case Cosine(minimum=minimum):
            rate = _along_cosine(start, minimum, progress)
        case ReduceOnPlateau():
            rate = _on_plateau(schedule, start, rows)
    return warmed * rate


def _on_plateau(schedule: ReduceOnPlateau, start: float, rows: Rows) -> float:
    """Replays the log: a fall after every `patience` epochs without improvement."""
    rate, waited = start, 0
    for row, improved in zip(
        rows, improvements(rows, schedule.quantity, schedule.tolerance, schedule.newest), strict=True
    ):
        waited = 0 if improved else waited + 1
        if waited == schedule.patience:
            rate, waited = max(rate * _factor(schedule, row.get("mean_dice")), schedule.minimum), 0
    return rate


def _factor(schedule: ReduceOnPlateau, dice: float | None) -> float:
    """What the rate falls by at this mean Dice; without one, as at the lowest."""
    lower: tuple[FactorBelow, ...] = schedule.factors_below
    return next((one.factor for one in lower if (dice or 0.0) < one.dice), schedule.factor)


def _one_cycle(schedule: OneCycle, progress: float) -> float:
    first = 1 / schedule.first_divisor
    if progress < schedule.rising:
        return _along_cosine(first, 1.0, progress / schedule.rising)
    return _along_cosine(1.0, first / schedule.last_divisor, (progress - schedule.rising) / (1 - schedule.rising))


def _along_cosine(first: float, last: float, progress: float) -> float:
    """From the first to the last value along half a cosine, slow at both ends.

    Source: Loshchilov and Hutter 2017, doi:10.48550/arXiv.1608.03983, eq. 5.
    """
    return last + (first - last) * (1 + math.cos(math.pi * progress)) / 2
