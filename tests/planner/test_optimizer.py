"""Optimisers for short and long trainings."""

from __future__ import annotations

import pytest

from autoseg.plan.training import SGD, AdamW
from autoseg.planner.optimizer import optimizer

SHORT = AdamW(learning_rate=0.004, weight_decay=0.02)


@pytest.mark.parametrize(
    ("iterations", "expected", "word"),
    [
        (300, SHORT, "few"),
        (9_999, SHORT, "few"),
        (10_000, SGD(), "as in nnU-Net"),
        (250_000, SGD(), "as in nnU-Net"),
    ],
)
def test_optimizer(iterations, expected, word):
    decided = optimizer(iterations)
    assert decided.value == expected
    assert word in decided.reason and f"{iterations:,}" in decided.reason


@pytest.mark.parametrize("iterations", [300, 250_000])
def test_nnunet_takes_the_same_for_all(iterations):
    decided = optimizer(iterations, as_nnunet=True)
    assert decided.value == SGD()
    assert decided.facts["iterations"] == iterations
