"""Optimisers for short and long trainings."""

from __future__ import annotations

import pytest

from autoseg.plan.training import SGD, AdamW
from autoseg.planner.optimizer import optimizer


@pytest.mark.parametrize(
    ("iterations", "expected", "word"),
    [(300, AdamW(), "few"), (9_999, AdamW(), "few"), (10_000, SGD(), "settles"), (250_000, SGD(), "settles")],
)
def test_optimizer(iterations, expected, word):
    decided = optimizer(iterations)
    assert decided.value == expected
    assert word in decided.reason and str(iterations) in decided.reason
