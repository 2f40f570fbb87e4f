"""Losses, optimisers and schedules in words."""

from __future__ import annotations

import pytest

from autoseg.plan.loss import (
    BinaryCrossEntropy,
    Boundary,
    CrossEntropy,
    Focal,
    SoftDice,
    SoftJaccard,
    SurfaceDice,
    TopKCrossEntropy,
    Tversky,
)
from autoseg.plan.training import (
    SGD,
    Adam,
    AdamW,
    Average,
    Constant,
    Cosine,
    FactorBelow,
    OneCycle,
    Poly,
    ReduceOnPlateau,
    Stopping,
)
from autoseg.reporting.learning import averaged, minimised, optimised, scheduled, stopped


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        (CrossEntropy(), "cross-entropy"),
        (
            CrossEntropy(weight=0.5, weights={"background": 0.5, "tumour": 2}),
            "0.5 × cross-entropy (background × 0.5, tumour × 2)",
        ),
        (BinaryCrossEntropy(), "cross-entropy of each region"),
        (Focal(), "focal cross-entropy (gamma 2)"),
        (TopKCrossEntropy(), "cross-entropy of the worst 10 % of the voxels"),
        (SoftDice(), "soft Dice of each patch (smoothed by 0.00001)"),
        (
            SoftDice(over="all", over_batch=True, smooth=0, squared=True),
            "soft Dice, denominator squared, of the whole batch (of all classes; smoothed by 0)",
        ),
        (
            SoftDice(ratio="generalised", weights={"tumour": 2}),
            "generalised Dice of each patch (tumour × 2; smoothed by 0.00001)",
        ),
        (SoftDice(ratio="joint"), "joint soft Dice of each patch (smoothed by 0.00001)"),
        (SoftJaccard(over=["tumour"]), "soft Jaccard index of each patch (of tumour; smoothed by 0.00001)"),
        (Tversky(), "Tversky index (alpha 0.3, beta 0.7) of each patch (smoothed by 0.00001)"),
        (SurfaceDice(), "surface Dice (within 1 voxel) of each patch (smoothed by 0.00001)"),
        (
            SurfaceDice(tolerance_voxels=2, over_batch=True),
            "surface Dice (within 2 voxels) of the whole batch (smoothed by 0.00001)",
        ),
        (Boundary(weight=0.01), "0.01 × signed distance from the surface"),
        (Boundary(over=[["kidney", "tumour"]]), "signed distance from the surface (of kidney + tumour)"),
    ],
)
def test_terms(term, expected):
    assert minimised([term]) == expected


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (SGD(), "gradient descent: momentum 0.99, learning rate 0.01, weight decay 0.00003"),
        (Adam(weight_decay=3e-5), "Adam: learning rate 0.001, weight decay 0.00003 (in the gradient)"),
        (AdamW(), "AdamW: learning rate 0.002, weight decay 0.00003"),
    ],
)
def test_optimisers(how, expected):
    assert optimised(how) == expected


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (Constant(), "stays as it is"),
        (Poly(), "falls as (1 - progress) to the power of 0.9"),
        (
            Poly(warm_up=0.1),
            "falls as (1 - progress) to the power of 0.9; before that it rises for 10 % of the training",
        ),
        (Cosine(minimum=1e-7), "falls along half a cosine to 0.0000001"),
        (
            ReduceOnPlateau(newest=0.1, minimum=1e-6),
            "× 0.2 after 30 epochs in which the moving average (newest 10 %) of the training loss did not improve, "
            "down to 0.000001",
        ),
        (
            ReduceOnPlateau(quantity="validation_loss", patience=1, tolerance=0.005, factor=0.8),
            "× 0.8 after 1 epoch in which the validation loss did not improve by more than 0.005, down to 0",
        ),
        (
            ReduceOnPlateau(
                patience=10,
                factor=0.9,
                factors_below=(FactorBelow(dice=0.5, factor=0.2), FactorBelow(dice=0.6, factor=0.5)),
            ),
            "× 0.2 below a mean Dice of 0.5, 0.5 below a mean Dice of 0.6, 0.9 otherwise after 10 epochs in which the "
            "training loss did not improve, down to 0",
        ),
        (OneCycle(), "rises for 30 % of the training from 1/25 to the whole, then falls to 1/250,000"),
    ],
)
def test_schedules(how, expected):
    assert scheduled(how) == expected


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (None, "none"),
        (Stopping(learning_rate=1e-6), "when the learning rate has fallen to 0.000001"),
        (
            Stopping(quantity="mean_dice", patience=20, tolerance=0.01),
            "after 20 epochs in which the mean Dice did not improve by more than 0.01",
        ),
    ],
)
def test_stopping(when, expected):
    assert stopped(when) == expected


def test_average():
    assert (averaged(None), averaged(Average())) == ("none", "kept; each step counts 0.001 of it")
