"""A selection as a table of plain text.

Comes in: a selection. Goes out: what was compared, what was chosen, and what is done to its label maps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoseg.phrases import numbered
from autoseg.plan.postprocessing import rule_in_words
from autoseg.reporting.columns import ABSENT, aligned, shown, with_interval

if TYPE_CHECKING:
    from autoseg.postprocessing import Tried
    from autoseg.workflow.selection import Candidate, Selection


def selection_table(selection: Selection) -> str:
    """The candidates with their mean Dice and its paired difference from the best, with intervals; then the rules."""
    targets = list(selection.chosen.per_target)
    headings = ("", "Dice (95 % interval)", "against the best", *targets)
    table = "\n".join(aligned([headings, *(_row(one, one is selection.chosen) for one in selection.candidates)]))
    only = ", the only candidate" if len(selection.candidates) == 1 else ""
    chosen = f"Selected: {selection.chosen.name}{only} ({selection.cases} cases, {numbered('fold', selection.folds)})"
    return f"{table}\n\n{chosen}\n{_postprocessing(selection)}"


def _postprocessing(selection: Selection) -> str:
    learnt = selection.postprocessing
    if not learnt.rules:
        tried = f"none of {len(learnt.evidence)} rules helps" if learnt.evidence else "too few cases to learn from"
        return f"Postprocessing: {tried}"
    kept = [f"  {rule_in_words(one.rule)}: {_gain(one)}" for one in learnt.evidence if one.kept]
    return "\n".join([f"Postprocessing: Dice {shown(learnt.before)} → {shown(learnt.after)}", *kept])


def _gain(tried: Tried) -> str:
    of = tried.rule.target or "mean"
    interval = "" if tried.low is None else f" ({tried.low:+.4f} to {tried.high:+.4f})"
    return f"{of} {shown(tried.before)} → {shown(tried.after)}, {tried.difference or 0:+.4f}{interval}"


def _row(candidate: Candidate, best: bool) -> list[str]:
    behind = "best"
    if not best:
        apart = (
            "" if candidate.behind_low is None else f" ({candidate.behind_low:+.3f} to {candidate.behind_high:+.3f})"
        )
        behind = ABSENT if candidate.behind is None else f"{candidate.behind:+.3f}{apart}"
    return [
        candidate.name,
        with_interval(candidate.mean, candidate.low, candidate.high),
        behind,
        *map(shown, candidate.per_target.values()),
    ]
