"""The range test: on losses whose best rate is known, and on a network."""

from __future__ import annotations

import math

import numpy as np
import pytest

from autoseg.training import Job
from autoseg.training.lr_range import find_rate_range, has_diverged, judge, moving_average, rising_rates


def test_rates_rise_by_the_same_factor():
    np.testing.assert_allclose(rising_rates(1e-6, 1.0, 100), np.geomspace(1e-6, 1.0, 100), rtol=1e-12)


def test_the_moving_average_is_a_weighted_mean():
    values = np.random.default_rng(0).random(30)
    found = moving_average(values.tolist())
    for count in range(1, 31):
        weights = 0.8 ** np.arange(count)[::-1]
        assert found[count - 1] == pytest.approx(np.average(values[:count], weights=weights))


@pytest.mark.parametrize(
    ("losses", "diverged"),
    [
        ([1.0, 0.9, 0.8], False),
        ([1.0] * 5 + [3.9] * 40, False),
        ([1.0] * 5 + [4.1] * 40, True),
        ([1.0, math.nan], True),
        ([1.0, math.inf], True),
        ([-1.0] * 5 + [1.9] * 40, False),  # three times its size above the best
        ([-1.0] * 5 + [2.1] * 40, True),
    ],
)
def test_divergence(losses, diverged):
    assert has_diverged(losses) == diverged


def test_a_tenth_of_the_best_rate_is_suggested():
    rates = rising_rates(1e-6, 1.0, 121)
    losses = [2 + abs(math.log10(rate) + 2) for rate in rates]  # least at 0.01
    found = judge(rates, losses)
    assert found.best == pytest.approx(0.01, rel=0.6)  # the average lags behind
    assert found.suggestion == float(f"{found.best / 10:.1e}")
    assert (len(found.rates), found.diverged) == (121, False)


@pytest.mark.parametrize(
    ("losses", "best", "diverged"),
    [
        ([1.0, 1.1, 1.2], None, False),
        ([1.0, math.nan], None, True),
        ([math.nan], None, True),
        ([3.0, 1.0, math.nan], 1e-5, True),
    ],
)
def test_losses_that_never_rise_or_never_fall(losses, best, diverged):
    found = judge([1e-6, 1e-5, 1e-4], losses)
    assert (found.best, found.diverged) == (best, diverged)
    assert found.suggestion == (None if best is None else pytest.approx(best / 10))
    assert len(found.rates) == len(found.losses) == len(found.averages)


def test_a_loss_that_only_falls_suggests_nothing():
    found = judge([1e-6, 1e-5, 1e-4], [3.0, 2.0, 1.0])
    assert (found.best, found.diverged, found.suggestion) == (1e-4, False, None)


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_a_network(make_stage, make_plan, prepared, cpu, folder, kind):
    stage = make_stage(augmentation=[], optimizer={"kind": kind, **({"momentum": 0.9} if kind == "sgd" else {})})
    job = Job(make_plan(stage), "tiny", 0, prepared[:3], prepared[3:], folder, cpu, 0)
    one, again = (find_rate_range(job, 1e-5, 10.0, 60) for _ in range(2))
    assert one == again
    assert not folder.exists()
    assert min(one.averages) < 0.9 * one.averages[0]
    assert one.suggestion is not None and 1e-4 <= one.suggestion <= 1


def test_it_ends_where_the_loss_is_no_number(make_stage, make_plan, prepared, cpu, folder):
    job = Job(make_plan(make_stage(augmentation=[])), "tiny", 0, prepared[:3], [], folder, cpu, 0)
    found = find_rate_range(job, 1e10, 1e30, 50)
    assert found.diverged and len(found.losses) < 50
    assert all(math.isfinite(loss) for loss in found.losses)
