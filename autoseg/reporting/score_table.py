"""Scores as a table of plain text, for terminals and README files.

Comes in: scores. Goes out: the mean of each target, and the cases to look at first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from autoseg.evaluation import Scores

ABSENT = "–"


def score_table(scores: Scores, most: int = 10) -> str:
    """Mean ± standard deviation of every target, then the worst cases with their worst target.

    The deviation is that of the sample (n - 1), over the cases that count the target. A case's own
    mean is over the targets it counts.

    Args:
        scores: what to show.
        most: worst cases to list at most.

    >>> print(score_table(Scores(dice={"a": {"kidney": 0.9, "cyst": None}, "b": {"kidney": 0.7, "cyst": 0.5}}), most=1))
    target  Dice           cases
    kidney  0.800 ± 0.141      2
    cyst    0.500              1
    mean    0.650
    <BLANKLINE>
    worst case  mean   worst target
    b           0.600  cyst 0.500
    """
    table = scores.table()
    targets = [(str(name), _mean_and_deviation(table[name]), f"{table[name].count():5}") for name in table.columns]
    parts = [_aligned([("target", "Dice", "cases"), *targets, ("mean", _shown(scores.mean), "")])]
    # Several cases may share a mean: by name, then, so that the same scores give the same table.
    worst = table.mean(axis=1).dropna().sort_index().sort_values(kind="stable").head(most)
    cases = [(str(name), _shown(mean), _worst_target(scores.dice[str(name)])) for name, mean in worst.items()]
    if cases:
        parts.append(_aligned([("worst case" if len(cases) == 1 else "worst cases", "mean", "worst target"), *cases]))
    if scores.unpredicted:
        parts.append(f"Not scored, for want of a prediction: {len(scores.unpredicted)} of the references.")
    return "\n\n".join(parts)


def _mean_and_deviation(dice: pd.Series) -> str:
    deviation = f" ± {dice.std():.3f}" if dice.count() > 1 else ""
    return _shown(dice.mean()) + deviation


def _worst_target(case: Mapping[str, float | None]) -> str:
    dice, target = min((dice, target) for target, dice in case.items() if dice is not None)
    return f"{target} {dice:.3f}"


def _shown(dice: float | None) -> str:
    return ABSENT if dice is None or np.isnan(dice) else f"{dice:.3f}"


def _aligned(rows: Sequence[tuple[str, str, str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)
