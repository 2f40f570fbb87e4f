from __future__ import annotations

import pytest

from autoseg.plan.training import Stopping
from autoseg.training.stopping import should_stop


def rows(quantity, values):
    return [{quantity: value, "learning_rate": 0.01} for value in values]


def stops_after(stopping, rows):
    """How many epochs a training has that asks after each."""
    return next((count for count in range(len(rows) + 1) if should_stop(stopping, rows[:count])), None)


@pytest.mark.parametrize(
    ("quantity", "values", "tolerance", "epochs"),
    [
        ("validation_loss", [5, 4, 3, 2, 1, 0], 0, None),
        ("validation_loss", [5, 4, 4, 4, 4, 4], 0, 5),  # the best is the second; three do not beat it
        ("validation_loss", [5, 4, 4.5, 4.2, 3.9, 4, 4, 4], 0, 8),
        ("train_loss", [5, 4.8, 4.7, 4.6, 4.4], 0.5, 4),  # each is better, none by half against the best
        ("train_loss", [5, 4.4, 4.2, 3.8, 3.2], 0.5, None),
        ("mean_dice", [0.1, 0.2, 0.3, 0.4, 0.5], 0, None),
        ("mean_dice", [0.5, 0.4, 0.3, 0.2, 0.1], 0, 4),
        ("mean_dice", [None, None, 0.1, None, None, None], 0, 6),
        ("mean_dice", [None, None, None, None], 0, 3),
    ],
)
def test_patience_of_three(quantity, values, tolerance, epochs):
    stopping = Stopping(quantity=quantity, patience=3, tolerance=tolerance)
    assert stops_after(stopping, rows(quantity, values)) == epochs


def test_what_is_said():
    stopping = Stopping(patience=2, learning_rate=1e-6)
    losses = rows("validation_loss", [0.51234, 0.4, 0.41, 0.42])
    told = "the validation loss has not improved for 2 epochs (best: 0.4, after epoch 1)"
    assert should_stop(stopping, losses) == told
    assert should_stop(Stopping(quantity="mean_dice", patience=1), rows("mean_dice", [None])) == (
        "the mean Dice has not improved for 1 epoch (it has no value)"
    )
    losses[2]["learning_rate"] = 9e-7
    assert should_stop(stopping, losses[:3]) == "the learning rate has fallen to 9e-07"


@pytest.mark.parametrize(
    ("rates", "stops"),
    [
        ([], False),
        ([1e-4, 1e-5], False),
        ([1e-4, 1e-6], True),
        ([1e-4, 5e-7], True),
        ([1e-7, 1e-6], False),  # a warm-up
        ([1e-7, 1e-4, 1e-6], True),
    ],
)
def test_a_rate_that_has_fallen(rates, stops):
    found = should_stop(Stopping(learning_rate=1e-6), [{"learning_rate": rate} for rate in rates])
    assert (found is not None) == stops


def test_nothing_is_asked():
    assert should_stop(None, rows("validation_loss", [1, 2, 3])) is None
