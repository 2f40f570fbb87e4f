"""How far a mean over these cases may be from the mean over all there could be.

Comes in: a number a case. Goes out: `Mean`, with the interval in which 95 % of the means of resampled cases lie.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
SEED = 0
PERCENTILES = (2.5, 97.5)


def resampled_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means over cases drawn with replacement, as many as there are; the same draws for every column.

    Args:
        values: (cases, columns), NaN where a case does not count.

    Returns:
        (RESAMPLES, columns), NaN where no drawn case counts.

    Source: Efron 1979, doi:10.1214/aos/1176344552.
    """
    cases = len(values)
    drawn = np.random.default_rng(SEED).multinomial(cases, np.full(cases, 1 / cases), RESAMPLES).astype(np.float64)
    counted = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        means: NDArray[np.float64] = drawn @ np.where(counted, values, 0) / (drawn @ counted)
    return means


class Mean(NamedTuple):
    """A mean over cases.

    Attributes:
        mean: None where no case counts.
        low: lower end of the 95 % interval; None where fewer than two cases count.
        high: its upper end.
        cases: how many count.
    """

    mean: float | None
    low: float | None
    high: float | None
    cases: int


def mean_with_interval(values: NDArray[np.float64], resampled: NDArray[np.float64]) -> Mean:
    """The mean of one column, and its interval from the same column of `resampled_means`.

    >>> values = np.array([[0.8], [np.nan], [0.6], [0.7]])
    >>> found = mean_with_interval(values[:, 0], resampled_means(values)[:, 0])
    >>> round(found.mean, 6), 0.6 <= found.low < 0.7 < found.high <= 0.8, found.cases
    (0.7, True, 3)
    """
    counted = values[~np.isnan(values)]
    if not counted.size:
        return Mean(None, None, None, 0)
    return Mean(float(counted.mean()), *_interval(resampled, counted.size), counted.size)


def mean_of_columns(values: NDArray[np.float64], resampled: NDArray[np.float64]) -> Mean:
    """The mean over the columns that have one, of their means over the cases that count for them.

    Args:
        values: (cases, columns), NaN where a case does not count.
        resampled: what `resampled_means` makes of them.

    >>> values = np.array([[0.8, 0.4, np.nan], [0.6, np.nan, np.nan]])
    >>> round(mean_of_columns(values, resampled_means(values)).mean, 6)
    0.55
    """
    counted = ~np.isnan(values)
    means = [float(column[count].mean()) for column, count in zip(values.T, counted.T, strict=True) if count.any()]
    cases = int(counted.any(axis=1).sum())
    if not means:
        return Mean(None, None, None, 0)
    return Mean(sum(means) / len(means), *_interval(_over_columns(resampled), cases), cases)


def paired_difference(before: NDArray[np.float64], after: NDArray[np.float64]) -> Mean:
    """By how much `mean_of_columns` differs between two ways of doing the same cases; its interval is paired.

    Both means are of the same drawn cases, so what makes a case hard for both does not widen the interval.

    Args:
        before: (cases, columns), NaN where a case does not count.
        after: the same cases and columns.

    Returns:
        after - before; without a mean where one of the two has none.

    >>> before = np.array([[0.8], [0.2], [0.5]])
    >>> found = paired_difference(before, before + 0.1)
    >>> round(found.mean, 6), round(found.low, 6), round(found.high, 6)
    (0.1, 0.1, 0.1)
    """
    first, second = (mean_of_columns(values, resampled_means(values)) for values in (before, after))
    if first.mean is None or second.mean is None:
        return Mean(None, None, None, 0)
    drawn = [_over_columns(resampled_means(values)) for values in (before, after)]
    cases = int((~np.isnan(before) | ~np.isnan(after)).any(axis=1).sum())
    return Mean(second.mean - first.mean, *_interval(drawn[1] - drawn[0], cases), cases)


def _over_columns(resampled: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of every resample, the mean over the columns that have one."""
    counting = ~np.isnan(resampled)
    with np.errstate(invalid="ignore"):
        means: NDArray[np.float64] = np.where(counting, resampled, 0).sum(axis=1) / counting.sum(axis=1)
    return means


def _interval(resampled: NDArray[np.float64], cases: int) -> tuple[float | None, float | None]:
    if cases < 2:
        return None, None
    low, high = np.nanpercentile(resampled, PERCENTILES).tolist()
    return low, high
