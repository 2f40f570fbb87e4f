"""Which axes may be mirrored."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from autoseg.dataset import Image
from autoseg.fingerprint.orientation import direction
from autoseg.geometry import plain_grid
from autoseg.plan.preprocessing import NoNormalisation, Preprocessing
from autoseg.planner.mirroring import keeps_upright, left_right_pairs, mirror_axes
from autoseg.preprocessing import prepare_image

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
        (["femurLeft1", "femurRight1", "femurLeft2"], [("femurLeft1", "femurRight1")]),
        (["LKidney", "RKidney"], [("LKidney", "RKidney")]),
        (["Lt Kidney", "Rt Kidney"], [("Lt Kidney", "Rt Kidney")]),
        (["LV", "RV", "MYO"], []),  # chambers of a heart, not a part on either side
        (["vertebra L1", "vertebra L2"], []),
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


CODES = ["".join(code) for axes in permutations(("RL", "AP", "IS")) for code in product(*axes)]


@pytest.mark.parametrize("common", [None, "LPS", "PSR", "SRA"])
@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_axis_left_out_is_the_one_along_which_the_prepared_array_runs_sideways(dimensions, order, common):
    """Every voxel holds how far left it lies; the array, as the network sees it, differs along one axis only."""
    plan = Preprocessing(
        orientation=common, axis_order=order, spacing_mm=(1.0,) * 3, normalisation=(NoNormalisation(),)
    )
    for code in CODES:
        leftness = np.moveaxis(np.ones((3, 3, 3)) * [1, 2, 3], -1, 2 - next(i for i in range(3) if code[i] in "LR"))
        grid = plain_grid((3, 3, 3), (1.0, 1.0, 1.0))._replace(direction=direction(code))
        array, _ = prepare_image(Image(leftness[None].astype(np.float32), grid), plan)
        sideways = [axis for axis in range(3) if len(np.unique(np.moveaxis(array[0], axis, 0)[:, 0, 0])) > 1]
        in_patch = {axis - (3 - dimensions) for axis in range(3) if axis not in sideways} - {-1}
        assert len(sideways) == 1
        assert set(mirror_axes(dimensions, KIDNEYS, [common or code], order).value) == in_patch


CONFUSED = "'kidney_left' and 'kidney_right' differ only in their side, mirroring would confuse them: "


@pytest.mark.parametrize(
    ("dimensions", "targets", "orientations", "order", "reason", "alternative"),
    [
        pytest.param(
            3,
            KIDNEYS,
            ["LPS", "RAS"],
            (0, 1, 2),
            CONFUSED + "the axis from left to right, axis x, is not mirrored (orientation LPS, RAS).",
            "Without such labels, patches would be mirrored along axes z, y and x.",
            id="one axis",
        ),
        pytest.param(
            3,
            KIDNEYS,
            ["LPS", "PSR"],
            (0, 1, 2),
            CONFUSED + "the axis from left to right is z or x, by case, and none of them is mirrored "
            "(orientation LPS, PSR).",
            "Without such labels, patches would be mirrored along axes z, y and x.",
            id="two axes",
        ),
        pytest.param(
            2,
            KIDNEYS,
            ["LPS"],
            (2, 0, 1),
            CONFUSED + "but left and right lie in different slices (orientation LPS), so a slice may be mirrored "
            "along both its axes.",
            "",
            id="sagittal slices",
        ),
        pytest.param(
            2,
            KIDNEYS,
            [None],
            (0, 1, 2),
            CONFUSED + "where left is the images do not say, so nothing is mirrored.",
            "Without such labels, patches would be mirrored along axes y and x.",
            id="pictures",
        ),
        pytest.param(
            2,
            ["liver"],
            ["LPS"],
            (0, 1, 2),
            "No two labels differ only in their side, so patches may be mirrored along all axes. In training they are, "
            "at random; in prediction every window is seen in all its mirror images, and the answers are averaged.",
            "With labels for left and right, axis x would be left out.",
            id="no pairs",
        ),
    ],
)
def test_reasons(dimensions, targets, orientations, order, reason, alternative):
    decided = mirror_axes(dimensions, targets, orientations, order)
    assert decided.reason == reason
    assert decided.alternative == alternative


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
    assert decided.alternative == "In 10,000 iterations or more, patches would be mirrored along axes z, y and x."
    kidneys = mirror_axes(3, KIDNEYS, ["LPS"], (0, 1, 2), upright=True)
    assert kidneys.alternative == "In 10,000 iterations or more, patches would be mirrored along axes z and y."
