"""By case or by label."""

from __future__ import annotations

import pytest

from autoseg.fingerprint.model import LabelFacts, Spread
from autoseg.planner.sampling import foreground_sampling

SPREAD = Spread(min=1.0, median=1.0, max=1.0)


def facts(**labels):
    """Name → (share of cases, voxels)."""
    return {
        name: LabelFacts(values=(1,), voxels=voxels, share_of_cases=share, volume_mm3=SPREAD, components=SPREAD)
        for name, (share, voxels) in labels.items()
    }


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param({"anterior": (1.0, 900), "posterior": (1.0, 800)}, "by_case", id="both everywhere"),
        pytest.param({"kidney": (1.0, 900_000), "tumour": (0.5, 300_000)}, "by_case", id="in half of the cases"),
        pytest.param({"kidney": (1.0, 900_000), "tumour": (0.49, 300_000)}, "by_label", id="in fewer"),
        pytest.param({"kidney": (1.0, 900_000), "tumour": (0.9, 9_000)}, "by_case", id="a hundredth of the voxels"),
        pytest.param({"kidney": (1.0, 900_000), "tumour": (0.9, 8_999)}, "by_label", id="fewer"),
        pytest.param({"liver": (1.0, 900_000), "nerve": (1.0, 10)}, "by_label", id="few voxels, everywhere"),
        pytest.param({"lesion": (0.3, 500)}, "by_label", id="one label, often absent"),
        pytest.param({"kidney": (1.0, 900), "cyst": (0.0, 0)}, "by_case", id="a label that no case holds"),
        pytest.param({"whole": (1.0, 900), "core": (0.9, 500), "active": (0.4, 100)}, "by_label", id="regions"),
        pytest.param({}, "by_case", id="unknown"),
        pytest.param({"kidney": (0.0, 0)}, "by_case", id="nothing at all"),
    ],
)
def test_rule(labels, expected):
    assert foreground_sampling(facts(**labels)).value == expected


@pytest.mark.parametrize(
    ("labels", "reason", "alternative"),
    [
        pytest.param(
            {"kidney": (1.0, 900_000), "tumour": (0.12, 300_000)},
            "'tumour' is in 12 % of the cases. So a patch that is to show a label is centred on any of the "
            "labels, in any case that holds it.",
            # by case: a case with a tumour, 0.12, and then one of its two labels
            "Drawn by case, about 6 % of these patches would be for 'tumour'; now it is 50 %.",
            id="few cases",
        ),
        pytest.param(
            {"kidney": (1.0, 900_000), "cyst": (0.8, 4_500)},
            "'cyst' has 4,500 voxels in all, 0.5 % of those of 'kidney'. So a patch that is to show a label "
            "is centred on any of the labels, in any case that holds it.",
            "Drawn by case, about 40 % of these patches would be for 'cyst'; now it is 50 %.",
            id="few voxels",
        ),
        pytest.param(
            {"liver": (1.0, 900_000), "nerve": (1.0, 90)},
            "'nerve' has 90 voxels in all, 0.01 % of those of 'liver'. So a patch that is to show a label is "
            "centred on any of the labels, in any case that holds it.",
            "Every case holds every label, so drawing by case would come to the same.",
            id="few voxels, everywhere",
        ),
        pytest.param(
            {"a": (1.0, 900_000), **{name: (0.2, 5_000 + place) for place, name in enumerate("bcdef")}},
            "'b' is in 20 % of the cases; 'c' is in 20 % of the cases; 'd' is in 20 % of the cases, and 2 more labels "
            "are rare. So a patch that is to show a label is centred on any of the labels, in any case "
            "that holds it.",
            # 0.2 · Σ C(4, k) 0.2^k 0.8^(4-k) / (2 + k) = 0.2 · 0.38512
            "Drawn by case, about 7.7 % of these patches would be for 'b'; now it is 16.7 %.",
            id="many",
        ),
        pytest.param(
            {"kidney": (1.0, 900_000), "tumour": (0.6, 300_000)},
            "No label is rare: each is in 60 % of the cases or more, and has at least 1 % of the voxels of 'kidney'. "
            "A patch that is to show a label comes from any case, and is centred on any label in it.",
            "Drawn by label, 50 % of these patches would be for 'tumour'; now it is about 30 %.",
            id="none rare",
        ),
        pytest.param(
            {"anterior": (1.0, 900), "posterior": (1.0, 800)},
            "No label is rare: each is in every case, and has at least 1 % of the voxels of "
            "'anterior'. A patch that is to show a label comes from any case, and is centred on any label in it.",
            "Every case holds every label, so drawing by label would come to the same.",
            id="all everywhere",
        ),
        pytest.param(
            {},
            "How often each label occurs is not known, so patches that are to show one are drawn as in nnU-Net.",
            "",
            id="unknown",
        ),
    ],
)
def test_reasons(labels, reason, alternative):
    decided = foreground_sampling(facts(**labels))
    assert decided.reason == reason
    assert decided.alternative == alternative


def test_facts_name_the_rare():
    decided = foreground_sampling(facts(kidney=(1.0, 900_000), tumour=(0.12, 300_000), cyst=(0.0, 0)))
    assert decided.facts == {
        "labels": 2,
        "most_voxels": 900_000,
        "rare": {"tumour": {"share_of_cases": 0.12, "voxels": 300_000}},
    }
