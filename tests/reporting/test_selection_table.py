"""A selection as text."""

from __future__ import annotations

from autoseg.plan.postprocessing import KeepLargest, RemoveSmall
from autoseg.postprocessing import Learnt, Tried
from autoseg.reporting.selection_table import selection_table
from autoseg.workflow.selection import Candidate, Selection


def candidate(*stages: str, mean: float, behind: float) -> Candidate:
    return Candidate(
        stages=stages,
        mean=mean,
        low=mean - 0.05,
        high=mean + 0.05,
        per_target={"kidney": mean, "cyst": None},
        behind=behind,
        behind_low=behind - 0.01,
        behind_high=behind + 0.01,
    )


def tried(rule: KeepLargest | RemoveSmall, kept: bool) -> Tried:
    return Tried(rule=rule, kept=kept, before=0.85, after=0.875, difference=0.025, low=0.01, high=0.04, harmed={})


KEPT, LEFT = tried(KeepLargest(target="kidney", count=2), True), tried(RemoveSmall(least_mm3=5), False)
SELECTION = Selection(
    plan="default",
    folds=(0, 1),
    cases=7,
    candidates=(candidate("2d", "3d", mean=0.85, behind=0.0), candidate("3d", mean=0.84, behind=-0.01)),
    postprocessing=Learnt(rules=(KEPT.rule,), evidence=(LEFT, KEPT), cases=7, before=0.85, after=0.875),
    made_from="",
)


def test_candidates_and_rules():
    assert selection_table(SELECTION) == (
        "         Dice (95 % interval)  against the best           kidney  cyst\n"
        "2d + 3d  0.850 (0.800–0.900)   best                       0.850   –\n"
        "3d       0.840 (0.790–0.890)   -0.010 (-0.020 to +0.000)  0.840   –\n"
        "\n"
        "Selected: 2d + 3d (7 cases, folds 0, 1)\n"
        "Postprocessing: Dice 0.850 → 0.875\n"
        "  keep the 2 largest components of kidney: kidney 0.850 → 0.875, +0.0250 (+0.0100 to +0.0400)"
    )


def test_nothing_to_compare_and_nothing_that_helps():
    alone = SELECTION.model_copy(update={"candidates": SELECTION.candidates[:1], "folds": (0,)})
    idle = alone.model_copy(update={"postprocessing": Learnt(evidence=(LEFT,), cases=7, before=0.85, after=0.85)})
    assert selection_table(idle).endswith(
        "Selected: 2d + 3d, the only candidate (7 cases, fold 0)\nPostprocessing: none of 1 rules helps"
    )
    few = alone.model_copy(update={"postprocessing": Learnt(cases=2)})
    assert selection_table(few).endswith("Postprocessing: too few cases to learn from")
