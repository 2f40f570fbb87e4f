"""Scores as a table of plain text, for terminals and README files.

Comes in: scores. Goes out: the means of each target, and the cases to look at first.
"""

from __future__ import annotations

from collections.abc import Mapping

from autoseg.evaluation import Scores
from autoseg.evaluation.intervals import Mean
from autoseg.reporting.columns import aligned, shown, with_interval

COLUMNS = {  # measure → heading, digits
    "precision": ("precision", 3),
    "recall": ("recall", 3),
    "surface_dice": ("surface Dice", 3),
    "hd95_mm": ("HD95 mm", 1),
    "assd_mm": ("ASSD mm", 2),
    "volume_difference_ml": ("Δ ml", 2),
    "lesion_f1": ("lesion F1", 3),
}


def score_table(scores: Scores, most: int = 10) -> str:
    """The means of every target over the cases that count it, then the worst cases with their worst target.

    Dice comes with the 95 % interval of its mean. A case's own mean is over the targets it counts, of those that the
    mean of all is over.

    Args:
        scores: what to show.
        most: worst cases to list at most.

    >>> from autoseg.evaluation import Measures
    >>> kidneys = {"a": Measures(dice=0.9), "b": Measures(dice=0.7)}
    >>> scores = Scores(cases={name: {"kidney": one} for name, one in kidneys.items()})
    >>> print(score_table(scores, most=1).split("\\n\\n")[1])
    worst case  mean   worst target
    b           0.700  kidney 0.700
    """
    headings = ("target", "Dice (95 % interval)", *(heading for heading, _ in COLUMNS.values()), "cases")
    rows = [(target, *_row(measures)) for target, measures in scores.means().items()]
    overall = ("mean", _interval(scores.overall()), *("" for _ in COLUMNS), "")
    parts = ["\n".join(aligned([headings, *rows, overall])), _worst_cases(scores, most), _notes(scores)]
    return "\n\n".join(part for part in parts if part)


def _row(measures: Mapping[str, Mean]) -> list[str]:
    others = [shown(measures[name].mean, digits) for name, (_, digits) in COLUMNS.items()]
    return [_interval(measures["dice"]), *others, f"{measures['dice'].cases:5}"]


def _worst_cases(scores: Scores, most: int) -> str:
    # Several cases may share a mean: by name, then, so that the same scores give the same table.
    means = scores.table().mean(axis=1).dropna().sort_index().sort_values(kind="stable").head(most)
    rows = [(str(name), shown(mean), _worst_target(scores.dice[str(name)])) for name, mean in means.items()]
    if not rows:
        return ""
    return "\n".join(aligned([("worst case" if len(rows) == 1 else "worst cases", "mean", "worst target"), *rows]))


def _worst_target(case: Mapping[str, float | None]) -> str:
    dice, target = min((dice, target) for target, dice in case.items() if dice is not None)
    return f"{target} {dice:.3f}"


def _notes(scores: Scores) -> str:
    notes = [f"Surface Dice within {scores.tolerance_mm:g} mm."]
    if scores.counted_as_empty:
        notes.append(
            f"Scored as if nothing was found, for want of a prediction: {len(scores.counted_as_empty)} of the cases."
        )
    if scores.unpredicted:
        notes.append(f"Not scored, for want of a prediction: {len(scores.unpredicted)} of the references.")
    return "\n".join(notes)


def _interval(found: Mean) -> str:
    return with_interval(found.mean, found.low, found.high)
