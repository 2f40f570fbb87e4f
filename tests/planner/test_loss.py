"""The terms of the loss."""

from __future__ import annotations

import pytest

from autoseg.plan.loss import BinaryCrossEntropy, CrossEntropy, SoftDice
from autoseg.planner.loss import loss_terms


@pytest.mark.parametrize(
    ("dimensions", "regions", "low_resolution", "expected"),
    [
        (2, 0, False, (CrossEntropy(), SoftDice(over_batch=True))),
        (3, 0, False, (CrossEntropy(), SoftDice(over_batch=False))),
        (3, 0, True, (CrossEntropy(), SoftDice(over_batch=True))),
        (3, 3, False, (BinaryCrossEntropy(), SoftDice(over_batch=False))),
    ],
)
def test_terms(dimensions, regions, low_resolution, expected):
    assert loss_terms(dimensions, regions, low_resolution).value == expected


def test_reason():
    assert loss_terms(3, 3, True).reason == (
        "The 3 regions may overlap, so each has a cross-entropy. Soft Dice is added, computed over the batch, because "
        "patches are small parts of the images and often lack some label."
    )
