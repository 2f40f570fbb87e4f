"""Scores as text."""

from __future__ import annotations

from autoseg.evaluation import Measures, Scores
from autoseg.reporting import score_table


def scores(dice: dict[str, dict[str, float | None]], **fields: object) -> Scores:
    cases = {name: {target: Measures(dice=one) for target, one in case.items()} for name, case in dice.items()}
    return Scores.model_validate({"cases": cases, **fields})


FULL = Measures(
    dice=0.8,
    precision=0.7,
    recall=0.9,
    surface_dice=0.95,
    hd95_mm=4.25,
    assd_mm=0.5,
    volume_difference_ml=-1.5,
    lesion_f1=0.25,
)
SCORES = scores(
    {
        "case_1": {"kidney": 0.9, "tumour": None, "cyst": None},
        "case_2": {"kidney": 0.7, "tumour": 0.2, "cyst": None},
        "case_3": {"kidney": 0.8, "tumour": 0.5, "cyst": None},
        "healthy": {"kidney": None, "tumour": None, "cyst": None},
    },
    unpredicted=("case_4",),
)


def test_means_of_every_measure() -> None:
    cases = {name: {"kidney": FULL, "cyst": Measures()} for name in ("a", "b")}
    assert score_table(Scores(cases=cases), most=0).splitlines() == [
        "target  Dice (95 % interval)  precision  recall  surface Dice  HD95 mm  ASSD mm  Δ ml   lesion F1  cases",
        "kidney  0.800 (0.800–0.800)   0.700      0.900   0.950         4.2      0.50     -1.50  0.250          2",
        "cyst    –                     –          –       –             –        –        –      –              0",
        "mean    0.800 (0.800–0.800)",
        "",
        "Surface Dice within 2 mm.",
    ]


def test_worst_cases_and_what_is_missing() -> None:
    means, *others = score_table(SCORES).split("\n\n")
    kidney, tumour = SCORES.means()["kidney"]["dice"], SCORES.means()["tumour"]["dice"]
    assert means.splitlines()[1].startswith(f"kidney  0.800 ({kidney.low:.3f}–{kidney.high:.3f})  ")
    assert means.splitlines()[2].startswith(f"tumour  0.350 ({tumour.low:.3f}–{tumour.high:.3f})  ")
    assert means.splitlines()[4].startswith("mean    0.575 (")
    assert others == [
        """\
worst cases  mean   worst target
case_2       0.450  tumour 0.200
case_3       0.650  tumour 0.500
case_1       0.900  kidney 0.900""",
        """\
Surface Dice within 2 mm.
Not scored, for want of a prediction: 1 of the references.""",
    ]


def test_cases_counted_as_empty_are_told() -> None:
    text = score_table(scores({"a": {"kidney": 0.0}}, counted_as_empty=("a",), tolerance_mm=0.5))
    assert text.endswith(
        "Surface Dice within 0.5 mm.\nScored as if nothing was found, for want of a prediction: 1 of the cases."
    )


def test_worst_cases_are_by_what_is_averaged() -> None:
    """The worst target of a case may be another one."""
    text = score_table(
        scores({"a": {"whole": 0.9, "part": 0.1}, "b": {"whole": 0.8, "part": 1.0}}, averaged=("whole",))
    )
    lines = text.split("\n\n")[1].splitlines()
    assert [line.split() for line in lines[1:]] == [["b", "0.800", "whole", "0.800"], ["a", "0.900", "part", "0.100"]]


def test_most() -> None:
    text = score_table(SCORES, most=1)
    assert "worst case  " in text and "case_2" in text and "case_3" not in text
    assert "worst" not in score_table(SCORES, most=0)


def test_nothing_counted() -> None:
    lines = score_table(scores({"a": {"kidney": None}})).splitlines()
    assert lines[1].split() == ["kidney", *["–"] * 8, "0"]
    assert lines[2] == "mean    –"
