"""What a loss may name, and what is said where it names something else."""

from __future__ import annotations

import pytest

from autoseg.dataset import Labels
from autoseg.errors import PlanError
from autoseg.plan import check_plan
from autoseg.plan.loss import named, output_names

KIDNEYS = {"values": {"background": 0, "kidney": 2, "tumour": 1}}
REGIONS = {"values": {"background": 0, "kidney": 2, "tumour": 1}, "regions": {"organ": {"values": [1, 2], "paint": 2}}}


def with_loss(data, labels, *terms):
    data["dataset"]["labels"] = labels
    data["stages"]["2d"]["loss"] = list(terms)
    return data


@pytest.mark.parametrize(
    ("labels", "over", "expected"),
    [
        (KIDNEYS, "foreground", (("tumour",), ("kidney",))),
        (KIDNEYS, "all", (("background",), ("tumour",), ("kidney",))),
        (KIDNEYS, ["kidney"], (("kidney",),)),
        (KIDNEYS, ["kidney", ["tumour", "kidney"]], (("kidney",), ("tumour", "kidney"))),
        (REGIONS, "foreground", (("organ",),)),
        (REGIONS, "all", (("organ",),)),
    ],
)
def test_names(labels, over, expected):
    assert named(over, Labels.model_validate(labels)) == expected


def test_outputs_are_in_the_order_of_the_classes():
    labels = Labels.model_validate(KIDNEYS)
    assert [labels.values[name] for name in output_names(labels)] == list(labels.classes)


@pytest.mark.parametrize(
    "term",
    [
        {"kind": "cross_entropy", "weights": {"background": 0.5, "tumour": 1.5}},
        {"kind": "dice", "over": ["tumour", ["kidney", "tumour"]], "weights": {"tumour": 0}},
        {"kind": "dice", "over": "all", "weights": {"background": 0.1}},
        {"kind": "boundary", "over": [["kidney", "tumour"]]},
    ],
)
def test_a_term_is_read_as_it_is_written(data, term):
    plan = check_plan(with_loss(data, KIDNEYS, term), "plan.json")
    written = plan.model_dump(mode="json")["stages"]["2d"]["loss"][0]
    assert {key: written[key] for key in term} == term
    assert check_plan(plan.model_dump(mode="json"), "plan.json") == plan


OVER = 'give "foreground", "all", or a list of labels, several of which may be taken as one: '
OVER += '["tumour", ["kidney", "tumour"]]'
FAULTS = [
    (
        KIDNEYS,
        {"kind": "dice", "over": ["tumor"]},
        "plan: stages.2d.loss.0.over: the dataset has no label 'tumor' (it has background, tumour, kidney); "
        "did you mean 'tumour'?",
    ),
    (
        KIDNEYS,
        {"kind": "cross_entropy", "weights": {"cyst": 2}},
        "plan: stages.2d.loss.0.weights: the dataset has no label 'cyst' (it has background, tumour, kidney)",
    ),
    (
        REGIONS,
        {"kind": "boundary", "over": ["kidney"]},
        "plan: stages.2d.loss.0.over: the dataset has no region 'kidney' (it has organ)",
    ),
    (
        KIDNEYS,
        {"kind": "jaccard", "over": [["tumour", "tumour"]]},
        "plan: stages.2d.loss.0.over: tumour + tumour names a label twice",
    ),
    (
        KIDNEYS,
        {"kind": "dice", "weights": {"background": 2}},
        "plan: stages.2d.loss.0.weights: 'background' is not what the term is over",
    ),
    (
        KIDNEYS,
        {"kind": "focal", "weights": {"background": 0, "kidney": 0, "tumour": 0}},
        "plan: stages.2d.loss.0.weights: every label weighs 0, so nothing would be learnt",
    ),
    (KIDNEYS, {"kind": "dice", "over": "kidney"}, f"stages.2d.loss.0.over: found 'kidney'; {OVER}"),
    (KIDNEYS, {"kind": "dice", "over": []}, f"stages.2d.loss.0.over: found []; {OVER}"),
    (KIDNEYS, {"kind": "dice", "over": ["kidney", []]}, f"stages.2d.loss.0.over: found ['kidney', []]; {OVER}"),
    (KIDNEYS, {"kind": "dice", "over": [1]}, f"stages.2d.loss.0.over: found [1]; {OVER}"),
    (KIDNEYS, {"kind": "dice", "over": {"kidney": 1}}, f"stages.2d.loss.0.over: found {{'kidney': 1}}; {OVER}"),
    (
        KIDNEYS,
        {"kind": "tversky", "weights": {"kidney": -1}},
        "stages.2d.loss.0.weights.kidney: must be greater than or equal to 0 (found -1)",
    ),
    (
        KIDNEYS,
        {"kind": "top_k_cross_entropy", "share": 0},
        "stages.2d.loss.0.share: must be greater than 0 (found 0)",
    ),
]


@pytest.mark.parametrize(("labels", "term", "line"), FAULTS, ids=[line for *_, line in FAULTS])
def test_what_is_said_of_a_fault(data, labels, term, line):
    with pytest.raises(PlanError) as refused:
        check_plan(with_loss(data, labels, term), "plan.json")
    assert str(refused.value) == f"plan.json: the plan breaks one rule\n  {line}"


def test_regions_are_not_added_up(data):
    labels = REGIONS | {"regions": REGIONS["regions"] | {"tumour": {"values": [1], "paint": 1}}}
    with pytest.raises(PlanError) as refused:
        check_plan(with_loss(data, labels, {"kind": "dice", "over": [["organ", "tumour"]]}), "plan.json")
    assert "organ + tumour are taken as one, but regions overlap; declare their union as a region" in str(refused.value)
