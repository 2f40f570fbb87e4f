"""How long training lasts, and how often it is looked at."""

from __future__ import annotations

from typing import Any

from autoseg.phrases import counted, number
from autoseg.plan.training import Training
from autoseg.planner.decided import Decided

EPOCHS, ITERATIONS, VALIDATION_ITERATIONS = 1000, 250, 50  # without a time limit
TIMED_EPOCHS = 30  # enough to see a curve and to choose a best moment from
SHORTEST_EPOCH = 10  # iterations
VALIDATION_SHARE = 0.1
FEW_ITERATIONS = 10_000  # a training of fewer is short
TAKES_LONG = (
    f"No time limit is set, and {EPOCHS} epochs of {ITERATIONS} iterations take a processor days to weeks: --minutes "
    "plans for the time there is."
)


def training_length(minutes: float | None, seconds_per_iteration: float | None) -> dict[str, Decided[Any]]:
    """Epochs, iterations an epoch, validation iterations and minutes.

    Without a time limit, nnU-Net's 1000 epochs of 250 iterations. With one, what the machine does
    in the time is cut into some 30 epochs of 10 to 250 iterations.

    Args:
        minutes: to train in, or None.
        seconds_per_iteration: as measured; needed with `minutes`.

    Returns:
        Path within a stage → decision.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, Methods; the timed part is ours.

    >>> {path: decided.value for path, decided in training_length(10, 0.5).items()}
    ... # doctest: +NORMALIZE_WHITESPACE
    {'training.minutes': 10, 'training.epochs': 30, 'training.iterations_per_epoch': 40,
     'training.validation_iterations': 4}
    """
    if minutes is None or seconds_per_iteration is None:
        epochs, iterations, validation = EPOCHS, ITERATIONS, VALIDATION_ITERATIONS
        facts: dict[str, Any] = {}
        lengths = (
            f"No time limit is set: {EPOCHS} epochs of {ITERATIONS} iterations, as nnU-Net takes for every dataset. An "
            "iteration learns from one batch; after each epoch the network is looked at."
        )
        alternative = "With a time limit (--minutes) it would be as many iterations as the machine does in the time."
        look = f"Every epoch is judged on {validation} batches of validation cases, a fifth of what it trained on."
    else:
        total = iterations_done(minutes, seconds_per_iteration)
        iterations = min(max(round(total / TIMED_EPOCHS), SHORTEST_EPOCH), ITERATIONS)
        validation = max(round(VALIDATION_SHARE * iterations), 2)
        epochs = max(round(total / iterations), 1)
        facts = {"minutes": minutes, "seconds_per_iteration": seconds_per_iteration}
        lengths = (
            f"In {counted(minutes, 'minute')}, at {number(seconds_per_iteration)} s each, about {_whole(total)} "
            f"iterations can be done: {_cut(total, iterations)}. An iteration learns from one batch; after each epoch "
            "the network is looked at. The clock ends training, not the number of epochs."
        )
        alternative = f"Without a time limit it would be {EPOCHS} epochs of {ITERATIONS} iterations, as in nnU-Net."
        look = (
            f"Every epoch is judged on {validation} batches of validation cases, about a tenth of what it trained on, "
            "to save time."
        )
    return {
        "training.minutes": Decided(minutes, "training_length", facts, lengths, alternative),
        "training.epochs": Decided(epochs, "training_length", facts, lengths, alternative),
        "training.iterations_per_epoch": Decided(iterations, "training_length", facts, lengths, alternative),
        "training.validation_iterations": Decided(validation, "training_length", facts, look),
    }


def iterations_done(minutes: float, seconds_per_iteration: float) -> float:
    """How many iterations fit the time, at this pace."""
    return minutes * 60 / seconds_per_iteration


def is_short(iterations: float) -> bool:
    """Whether so few iterations are expected that what is learnt soonest counts for more than what is in the end."""
    return iterations < FEW_ITERATIONS


def takes_long(training: Training) -> bool:
    """Whether nothing makes a training shorter than the one of a plan without a time limit."""
    return training.minutes is None and training.epochs * training.iterations_per_epoch >= EPOCHS * ITERATIONS


def _whole(total: float) -> str:
    """Iterations, as whole ones where there are some.

    >>> _whole(1333.3), _whole(9.96), _whole(0.3)
    ('1,333', '9.96', '0.3')
    """
    return f"{total:,.0f}" if total >= SHORTEST_EPOCH else number(total)


def _cut(total: float, iterations: int) -> str:
    if total < iterations:
        return f"not even one epoch of {iterations}"
    return f"about {counted(round(total / iterations), 'epoch')} of {iterations}"
