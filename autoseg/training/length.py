"""How far a training is: counted in iterations, or by the clock."""

from __future__ import annotations

from autoseg.plan.training import Training


def share_done(training: Training, iteration: int, seconds: float, reserve_seconds: float = 0.0) -> float:
    """How much of the training is done, 0…1 and beyond.

    Args:
        training: from the plan.
        iteration: steps taken.
        seconds: time spent, pauses between sessions not counted.
        reserve_seconds: what is to come after the last step, so that the training ends on time.

    >>> share_done(Training(epochs=10, iterations_per_epoch=20), iteration=50, seconds=0)
    0.25
    >>> share_done(Training(minutes=2), iteration=7, seconds=50, reserve_seconds=20)
    0.5
    """
    if training.minutes is not None:
        return seconds / max(training.minutes * 60 - reserve_seconds, 1e-9)
    return iteration / (training.epochs * training.iterations_per_epoch)


def is_longer(training: Training, other: Training) -> bool:
    """Whether a training goes on where another one, otherwise alike, has ended.

    >>> is_longer(Training(epochs=20), Training(epochs=10)), is_longer(Training(minutes=5), Training(minutes=5))
    (True, False)
    """
    if training.minutes is not None and other.minutes is not None:
        return training.minutes > other.minutes
    if training.minutes is None and other.minutes is None:
        ours, theirs = (one.epochs * one.iterations_per_epoch for one in (training, other))
        return ours > theirs
    return False
