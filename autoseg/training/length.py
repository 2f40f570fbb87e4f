"""How far a training is: counted in iterations, or by the clock."""

from __future__ import annotations

from autoseg.plan.training import Training


def share_done(training: Training, iteration: int, seconds: float) -> float:
    """How much of the training is done, 0…1 and beyond.

    Args:
        training: from the plan.
        iteration: steps taken.
        seconds: time spent, pauses between sessions not counted.

    >>> share_done(Training(epochs=10, iterations_per_epoch=20), iteration=50, seconds=0)
    0.25
    >>> share_done(Training(minutes=2), iteration=7, seconds=60)
    0.5
    """
    if training.minutes is not None:
        return seconds / (training.minutes * 60)
    return iteration / (training.epochs * training.iterations_per_epoch)
