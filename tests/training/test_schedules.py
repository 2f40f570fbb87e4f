"""Schedules against torch's own, epoch by epoch or step by step, and against their published definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from autoseg.plan.training import Constant, Cosine, FactorBelow, OneCycle, Poly, ReduceOnPlateau
from autoseg.training.schedules import learning_rate

START = 0.01


def torchs(schedule, steps, start=START, values=None):
    """The rates that a scheduler of torch gives before each step."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=start)
    made = schedule(optimizer)
    rates = []
    for step in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if values is None:
            made.step()
        else:
            made.step(values[step])
    return rates


def logged(losses, dices=None):
    dices = [0.5] * len(losses) if dices is None else dices
    return [
        {"train_loss": loss, "validation_loss": loss, "mean_dice": dice}
        for loss, dice in zip(losses, dices, strict=True)
    ]


def plateau_rates(schedule, rows, start=START):
    """The rate of every epoch, and of the one after the last."""
    return [learning_rate(schedule, start, 0.5, rows[:epoch]) for epoch in range(len(rows) + 1)]


@pytest.mark.parametrize(
    ("power", "progress", "factor"),
    [
        (0.9, 0.0, 1.0),
        (0.9, 0.5, 0.5**0.9),
        (0.9, 0.999, 0.001**0.9),
        (0.9, 1.0, 0.0),
        (2.0, 0.75, 0.0625),
        (0.9, -0.1, 1.0),
        (0.9, 1.2, 0.0),  # the clock may run over
    ],
)
def test_poly(power, progress, factor):
    assert learning_rate(Poly(power=power), START, progress) == pytest.approx(START * factor)


def test_poly_against_torch():
    expected = torchs(lambda optimizer: lr_scheduler.PolynomialLR(optimizer, 50, 0.9), 50)
    found = [learning_rate(Poly(), START, step / 50) for step in range(50)]
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("minimum", [0.0, 1e-7, 0.004])
def test_cosine_against_torch(minimum):
    expected = torchs(lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 40, minimum), 41)
    found = [learning_rate(Cosine(minimum=minimum), START, step / 40) for step in range(41)]
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-15)


@pytest.mark.parametrize(("rising", "first", "last"), [(0.3, 25.0, 1e4), (0.5, 10.0, 1.0), (0.25, 4.0, 100.0)])
def test_one_cycle_against_torch(rising, first, last):
    """Torch's halves end at whole steps, one before what it is told; here the halves are told what it makes of it."""
    steps, top = 60, round(60 * rising)

    def cycle(optimizer):
        return lr_scheduler.OneCycleLR(
            optimizer,
            START,
            total_steps=steps + 1,
            pct_start=(top + 1) / (steps + 1),
            div_factor=first,
            final_div_factor=last,
            cycle_momentum=False,
        )

    schedule = OneCycle(rising=rising, first_divisor=first, last_divisor=last)
    found = [learning_rate(schedule, START, step / steps) for step in range(steps + 1)]
    assert found == pytest.approx(torchs(cycle, steps + 1), rel=1e-9)
    assert max(found) == pytest.approx(START)


def test_constant():
    assert [learning_rate(Constant(), START, progress) for progress in (0.0, 0.4, 1.0)] == [START] * 3


@pytest.mark.parametrize("quantity", ["train_loss", "validation_loss", "mean_dice"])
@pytest.mark.parametrize("tolerance", [0.0, 0.02])
@pytest.mark.parametrize(("patience", "factor", "minimum"), [(1, 0.5, 1e-5), (4, 0.2, 1e-3), (10, 0.8, 0.0)])
def test_plateau_against_torch(quantity, tolerance, patience, factor, minimum):
    """Torch's patience is how many epochs are forgiven: one less than how many lower the rate."""
    generator = np.random.default_rng(0)
    values = (np.exp(-np.arange(120) / 25) + generator.normal(0, 0.03, 120)).tolist()
    if quantity == "mean_dice":
        values = [1 - value for value in values]

    def plateau(optimizer):
        return lr_scheduler.ReduceLROnPlateau(
            optimizer,
            "max" if quantity == "mean_dice" else "min",
            factor,
            patience - 1,
            tolerance,
            "abs",
            min_lr=minimum,
            eps=0,
        )

    schedule = ReduceOnPlateau(
        quantity=quantity, patience=patience, tolerance=tolerance, factor=factor, minimum=minimum
    )
    found = plateau_rates(schedule, [{quantity: value} for value in values])
    assert found[:-1] == pytest.approx(torchs(plateau, 120, values=values), rel=1e-9)
    assert len(set(found)) > 2


def test_the_plateau_of_a_moving_average():
    """Written out: the average begins with the first loss; 30 epochs in which it did not fall lower the rate."""
    generator = np.random.default_rng(1)
    losses = (0.4 + np.exp(-np.arange(300) / 20) + generator.normal(0, 0.1, 300)).tolist()
    schedule = ReduceOnPlateau(newest=0.1, patience=30, factor=0.2, minimum=1e-6)
    rate, average, lowest, since, expected = 5e-4, losses[0], math.inf, 0, [5e-4]
    for loss in losses:
        average = 0.1 * loss + 0.9 * average
        since = 0 if average < lowest else since + 1
        lowest = min(lowest, average)
        if since == 30:
            rate, since = max(rate * 0.2, 1e-6), 0
        expected.append(rate)
    assert plateau_rates(schedule, logged(losses), start=5e-4) == pytest.approx(expected, rel=1e-12)
    assert len(set(expected)) > 2


@pytest.mark.parametrize(
    ("dice", "factor"),
    [(0.0, 0.2), (0.49, 0.2), (0.5, 0.5), (0.59, 0.5), (0.6, 0.8), (0.79, 0.8), (0.8, 0.9), (1.0, 0.9), (None, 0.2)],
)
def test_the_factor_may_depend_on_the_dice(dice, factor):
    below = tuple(FactorBelow(dice=dice, factor=by) for dice, by in ((0.5, 0.2), (0.6, 0.5), (0.8, 0.8)))
    schedule = ReduceOnPlateau(patience=10, factor=0.9, factors_below=below)
    rows = logged([1.0] + [2.0] * 10, [0.9] * 10 + [dice])  # that of the last epoch decides
    assert learning_rate(schedule, START, 0.5, rows[:10]) == START
    assert learning_rate(schedule, START, 0.5, rows) == pytest.approx(START * factor)


def test_epochs_without_a_value_are_epochs_without_improvement():
    schedule = ReduceOnPlateau(quantity="mean_dice", patience=2, factor=0.5)
    rows = [{"mean_dice": dice} for dice in (None, 0.3, None, None, 0.4, None, 0.4)]
    assert plateau_rates(schedule, rows, start=1.0) == [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25]


def test_the_log_does_not_change_and_may_be_cut_anywhere():
    """A training that goes on after a stop has the rates it would have had: they depend on the rows alone."""
    rows = logged(np.random.default_rng(2).random(50).tolist())
    schedule = ReduceOnPlateau(patience=3, factor=0.5)
    whole = plateau_rates(schedule, rows)
    assert [learning_rate(schedule, START, 0.9, list(rows)[:epoch]) for epoch in range(51)] == whole
    assert rows == logged(np.random.default_rng(2).random(50).tolist())


@pytest.mark.parametrize(
    "schedule", [Constant(), Poly(), Cosine(minimum=1e-4), ReduceOnPlateau(patience=2)], ids=lambda one: one.kind
)
def test_warm_up(schedule):
    """A fifth of the training rises to where the schedule begins, which has the rest to itself."""
    rows = logged([1.0, 2.0, 2.0, 2.0])
    warmed = schedule.model_copy(update={"warm_up": 0.2})
    begin = learning_rate(schedule, START, 0.0)
    for progress in (0.0, 0.05, 0.1, 0.19):
        assert learning_rate(warmed, START, progress) == pytest.approx(begin * progress / 0.2)
    for progress in (0.2, 0.3, 0.6, 1.0):
        expected = learning_rate(schedule, START, (progress - 0.2) / 0.8, rows)
        assert learning_rate(warmed, START, progress, rows) == pytest.approx(expected, abs=1e-18)
