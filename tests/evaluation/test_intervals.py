"""Bootstrap intervals, against the definition drawn case by case, SciPy, and what they are for: coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from autoseg.evaluation.intervals import RESAMPLES, mean_of_columns, mean_with_interval, resampled_means

NAN = np.nan


def test_a_resample_is_a_mean_of_drawn_cases() -> None:
    """Powers of ten show, digit by digit, how often each of five cases was drawn."""
    means = resampled_means(10.0 ** np.arange(5)[:, None])
    assert means.shape == (RESAMPLES, 1)
    digits = [f"{round(mean * 5):05d}" for mean in means[:, 0]]
    assert all(sum(map(int, drawn)) == 5 for drawn in digits)
    counts = np.array([list(map(int, drawn)) for drawn in digits])
    assert counts.mean(axis=0) == pytest.approx(np.ones(5), abs=0.1)
    assert counts.var(axis=0) == pytest.approx(np.full(5, 5 * 0.2 * 0.8), abs=0.15)


def test_the_same_cases_are_drawn_for_every_column_and_every_time() -> None:
    values = np.random.default_rng(1).random((9, 1))
    means = resampled_means(np.hstack([values, 2 * values]))
    np.testing.assert_allclose(means[:, 1], 2 * means[:, 0])
    np.testing.assert_allclose(resampled_means(values), means[:, :1])


def test_cases_that_do_not_count_are_left_out_of_the_means() -> None:
    means = resampled_means(np.array([[1.0], [NAN], [1.0]]))
    drawn_none = np.isnan(means)
    assert (means[~drawn_none] == 1.0).all()
    assert drawn_none.mean() == pytest.approx((1 / 3) ** 3, abs=0.015)


def test_interval_is_that_of_scipy() -> None:
    values = np.random.default_rng(2).beta(8, 2, 40)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20000, method="percentile", rng=3).confidence_interval
    found = mean_with_interval(values, resampled_means(values[:, None])[:, 0])
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.004)
    assert (found.mean, found.cases) == (pytest.approx(values.mean()), 40)


def test_interval_holds_the_true_mean_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(4)
    values = generator.normal(0.8, 0.1, (60, 300))  # 300 studies of 60 cases
    means = resampled_means(values)
    held = [
        found.low <= 0.8 <= found.high
        for found in (mean_with_interval(values[:, study], means[:, study]) for study in range(300))
    ]
    assert 0.9 < np.mean(held) < 0.98


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([NAN, NAN], (None, None, None, 0)),
        ([0.5, NAN], (0.5, None, None, 1)),
        ([0.5, 0.5], (0.5, 0.5, 0.5, 2)),
    ],
)
def test_few_cases(values: list[float], expected: tuple[float | None, ...]) -> None:
    column = np.array(values)
    assert mean_with_interval(column, resampled_means(column[:, None])[:, 0]) == expected


def test_mean_over_columns_is_of_their_means() -> None:
    values = np.array([[0.9, NAN, NAN], [0.7, 0.2, NAN], [0.8, 0.0, NAN]])
    found = mean_of_columns(values, resampled_means(values))
    assert (found.mean, found.cases) == (pytest.approx((0.8 + 0.1) / 2), 3)
    assert found.low is not None and found.high is not None
    assert 0.35 <= found.low < 0.45 < found.high <= 0.9
    assert mean_of_columns(values[:, 2:], resampled_means(values[:, 2:])) == (None, None, None, 0)


def test_interval_over_columns_by_definition() -> None:
    """Cases drawn one by one with a generator of our own; the ends agree as two sets of draws do."""
    values = np.random.default_rng(5).random((25, 3))
    values[::4, 1] = NAN
    generator = np.random.default_rng(6)
    drawn = [np.nanmean(np.nanmean(values[generator.integers(0, 25, 25)], axis=0)) for _ in range(4000)]
    found = mean_of_columns(values, resampled_means(values))
    assert (found.low, found.high) == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.01)
