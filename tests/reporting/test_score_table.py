"""Scores as text."""

from __future__ import annotations

from autoseg.evaluation import Scores
from autoseg.reporting import score_table

SCORES = Scores(
    dice={
        "case_1": {"kidney": 0.9, "tumour": None, "cyst": None},
        "case_2": {"kidney": 0.7, "tumour": 0.2, "cyst": None},
        "case_3": {"kidney": 0.8, "tumour": 0.5, "cyst": None},
        "healthy": {"kidney": None, "tumour": None, "cyst": None},
    },
    unpredicted=("case_4",),
)


TEXT = """\
target  Dice           cases
kidney  0.800 ± 0.100      3
tumour  0.350 ± 0.212      2
cyst    –                  0
mean    0.575

worst cases  mean   worst target
case_2       0.450  tumour 0.200
case_3       0.650  tumour 0.500
case_1       0.900  kidney 0.900

Not scored, for want of a prediction: 1 of the references."""


def test_whole_text() -> None:
    assert score_table(SCORES) == TEXT


def test_most() -> None:
    text = score_table(SCORES, most=1)
    assert "worst case  " in text and "case_2" in text and "case_3" not in text
    assert "worst" not in score_table(SCORES, most=0)


def test_nothing_counted() -> None:
    assert score_table(Scores(dice={"a": {"kidney": None}})).splitlines() == [
        "target  Dice  cases",
        "kidney  –         0",
        "mean    –",
    ]
