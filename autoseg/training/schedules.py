"""Learning rates over the course of a training.

Comes in: the plan's schedule and how much of the training is done. Goes out: a factor for the
optimiser's learning rate.
"""

from __future__ import annotations

from autoseg.plan.training import Poly


def learning_rate_factor(schedule: Poly, progress: float) -> float:
    """What the learning rate is multiplied by.

    Args:
        schedule: from the plan.
        progress: share of the training that is done, 0…1.

    >>> learning_rate_factor(Poly(power=1.0), 0.25)
    0.75
    """
    return float((1 - min(max(progress, 0.0), 1.0)) ** schedule.power)
