"""Which axes may be mirrored."""

from __future__ import annotations

import pytest

from autoseg.planner.mirroring import keeps_upright, left_right_pairs, mirror_axes

KIDNEYS = ["kidney_left", "kidney_right"]


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (["kidney", "tumour"], []),
        (["left kidney", "right kidney"], [("left kidney", "right kidney")]),
        (["hippocampus_R", "hippocampus_L"], [("hippocampus_L", "hippocampus_R")]),
        (["Left-Hippocampus", "Right-Hippocampus"], [("Left-Hippocampus", "Right-Hippocampus")]),
        (["LeftKidney", "RightKidney"], [("LeftKidney", "RightKidney")]),
        (["ctx-lh-insula", "ctx-rh-insula"], [("ctx-lh-insula", "ctx-rh-insula")]),
        (["lung (L)", "lung (R)"], [("lung (L)", "lung (R)")]),
        (["rib_left_1", "rib_right_2"], []),  # different ribs
        (["left ventricle", "myocardium"], []),  # nothing to be confused with
        (["left ventricle", "right ventricle"], [("left ventricle", "right ventricle")]),
        (["cleft", "cright"], []),  # only whole words
    ],
)
def test_pairs(names, pairs):
    assert left_right_pairs(names) == pairs


@pytest.mark.parametrize(
    ("dimensions", "targets", "orientations", "order", "expected"),
    [
        (3, ["liver"], ["LPS"], (0, 1, 2), (0, 1, 2)),
        (2, ["liver"], [None], (0, 1, 2), (0, 1)),
        (3, KIDNEYS, ["LPS", "RAS"], (0, 1, 2), (0, 1)),  # x of the file is the array's last axis
        (2, KIDNEYS, ["LPS"], (0, 1, 2), (0,)),
        (3, KIDNEYS, ["LPS"], (2, 0, 1), (1, 2)),  # x came first
        (2, KIDNEYS, ["LPS"], (2, 0, 1), (0, 1)),  # sagittal slices
        (3, KIDNEYS, ["PSR"], (0, 1, 2), (1, 2)),  # sagittal files
        (3, KIDNEYS, ["LPS", "PSR"], (0, 1, 2), (1,)),  # lateral in some case
        (2, KIDNEYS, [None, None], (0, 1, 2), ()),  # pictures do not say
    ],
)
def test_axes(dimensions, targets, orientations, order, expected):
    assert mirror_axes(dimensions, targets, orientations, order).value == expected


def test_reason():
    assert mirror_axes(3, KIDNEYS, ["LPS", "RAS"], (0, 1, 2)).reason == (
        "'kidney_left' and 'kidney_right' differ only in their side, mirroring would confuse them: the left-right "
        "axis is not mirrored (orientation LPS, RAS)."
    )


@pytest.mark.parametrize(
    ("iterations", "orientations", "expected"),
    [
        (1_000, ["LPS", "LPS"], True),
        (9_999, ["LPS", "RAS"], True),
        (10_000, ["LPS", "LPS"], False),
        (250_000, ["LPS", "LPS"], False),
        (1_000, [None, None], False),  # pictures may show anything from any side
    ],
)
def test_short_trainings_keep_patients_upright(iterations, orientations, expected):
    assert keeps_upright(iterations, orientations) is expected


def test_upright_mirrors_nothing():
    decided = mirror_axes(3, ["liver"], ["LPS"], (0, 1, 2), upright=True)
    assert decided.value == ()
    assert "nothing is mirrored" in decided.reason
