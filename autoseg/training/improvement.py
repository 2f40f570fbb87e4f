"""Whether a training still gets better.

Comes in: the rows of the log, one a finished epoch. Goes out: for each of them whether a quantity beat its best. The
rows are read from the first each time, so nothing has to be remembered between epochs or sessions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from autoseg.plan.training import Quantity

Rows = Sequence[Mapping[str, Any]]


def improvements(rows: Rows, quantity: Quantity, tolerance: float = 0.0, newest: float = 1.0) -> list[bool]:
    """Per epoch, whether the quantity was better than ever before.

    Args:
        rows: of the log. An epoch without a value for the quantity is one without improvement.
        quantity: losses are to fall, the mean Dice is to rise.
        tolerance: by more than which it must have been better.
        newest: share of the newest value in the moving average that is looked at; 1 looks at the values themselves.

    >>> improvements([{"train_loss": 3.0}, {"train_loss": 2.0}, {"train_loss": 1.9}], "train_loss", tolerance=0.5)
    [True, True, False]
    """
    sign = -1.0 if quantity == "mean_dice" else 1.0
    best, found = math.inf, []
    for value in _averaged((row.get(quantity) for row in rows), newest):
        signed = math.inf if value is None else sign * value
        found.append(signed < best - tolerance)
        best = signed if found[-1] else best
    return found


def _averaged(values: Iterable[float | None], newest: float) -> Iterator[float | None]:
    """The exponential moving average, which begins with the first value; None where there is no value."""
    average: float | None = None
    for value in values:
        if value is not None:
            average = value if average is None else newest * value + (1 - newest) * average
        yield None if value is None else average
