"""Epochs and iterations."""

from __future__ import annotations

import pytest

from autoseg.planner.length import is_short, training_length


@pytest.mark.parametrize(
    ("minutes", "seconds", "epochs", "iterations", "validation"),
    [
        (None, None, 1000, 250, 50),
        (10, 0.45, 30, 44, 4),  # 1333 iterations
        (600, 0.5, 288, 250, 25),  # 72 000: epochs stay short enough to look at
        (1, 0.6, 10, 10, 2),  # 100: epochs stay long enough to judge
        (1, 30, 1, 10, 2),  # 2: hopeless, but whole
    ],
)
def test_length(minutes, seconds, epochs, iterations, validation):
    parts = training_length(minutes, seconds)
    assert parts["training.epochs"].value == epochs
    assert parts["training.iterations_per_epoch"].value == iterations
    assert parts["training.validation_iterations"].value == validation
    assert parts["training.minutes"].value == minutes


@pytest.mark.parametrize(("iterations", "expected"), [(300, True), (9_999.9, True), (10_000, False), (250_000, False)])
def test_which_trainings_are_short(iterations, expected):
    assert is_short(iterations) is expected


def test_reason():
    assert training_length(10, 0.45)["training.epochs"].reason == (
        "In 10 minutes, at 0.45 s each, about 1,333 iterations can be done: about 30 epochs of 44. An iteration learns "
        "from one batch; after each epoch the network is looked at. The clock ends training, not the number of epochs."
    )


@pytest.mark.parametrize(
    ("minutes", "seconds", "told"),
    [
        (0.01, 2, "In 0.01 minutes, at 2 s each, about 0.3 iterations can be done: not even one epoch of 10. "),
        (1, 6, "In 1 minute, at 6 s each, about 10 iterations can be done: about 1 epoch of 10. "),
    ],
)
def test_what_is_said_of_too_little_time(minutes, seconds, told):
    assert training_length(minutes, seconds)["training.epochs"].reason.startswith(told)


def test_times_are_written_without_exponents():
    """2000 hours, and 150 s an iteration."""
    assert training_length(120_000, 150)["training.minutes"].reason.startswith("In 120,000 minutes, at 150 s each, ")
