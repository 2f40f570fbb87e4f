"""One orientation for all cases, and their grids in it."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from autoseg.dataset import Image
from autoseg.fingerprint.model import CaseFacts
from autoseg.fingerprint.orientation import direction
from autoseg.geometry import Grid
from autoseg.plan.preprocessing import NoNormalisation, Preprocessing
from autoseg.planner.orientation import common_orientation, turned
from autoseg.preprocessing import prepare_image

CODES = ["".join(code) for axes in permutations(("RL", "AP", "IS")) for code in product(*axes)]


def case(orientation, shape=(20, 256, 240), spacing_mm=(5.0, 1.0, 0.9), after_crop=(18, 200, 150)):
    return CaseFacts(
        name="a",
        shape=shape,
        spacing_mm=spacing_mm,
        shape_after_crop=after_crop,
        relative_size=0.5,
        orientation=orientation,
    )


@pytest.mark.parametrize(
    ("orientations", "expected"),
    [
        (["LPS"] * 5, "LPS"),  # native kept
        (["LPS"] * 3 + ["RAS"] * 2, "LPS"),
        (["RAS"] * 3 + ["LPS"] * 2, "RAS"),
        (["RAS", "LPS", "PSR"], "LPS"),  # as frequent: the alphabet
        (["RAS", "RAS", "LPS", "LPS", "ASL"], "LPS"),
        (["LPS", "RAS", None], None),
        ([None, None], None),
    ],
)
def test_orientation(orientations, expected):
    assert common_orientation([case(code) for code in orientations]).value == expected


def test_the_majority_decides():
    decided = common_orientation([case("RAS")] * 2 + [case("LPS")] * 7 + [case("PSR")])
    assert decided.facts == {"cases": {"LPS": 7, "RAS": 2, "PSR": 1}, "without_orientation": 0}
    assert decided.reason == (
        "The 10 cases are stored in 3 orientations (7 as LPS, 2 as RAS, 1 as PSR). All are turned to LPS, the most "
        "frequent, so that the network sees every patient from the same side; no voxel is interpolated for it."
    )
    assert decided.alternative == "To RAS, 8 cases would be turned instead of 3."


@pytest.mark.parametrize(
    ("orientations", "reason", "alternative"),
    [
        (
            ["LPS"] * 5,
            "All 5 cases are stored as LPS, so none is turned in training; an image to predict that is stored "
            "otherwise is turned first.",
            "",
        ),
        (
            ["LPS", None, None],
            "2 of 3 images do not say how the patient lies in it (2-D images never do), "
            "so all axes stay as they are stored.",
            "",
        ),
        (
            [None, None],
            "No image says how the patient lies in it (2-D images never do), so all axes stay as they are stored.",
            "",
        ),
    ],
)
def test_reasons_to_keep_the_files_own(orientations, reason, alternative):
    decided = common_orientation([case(code) for code in orientations])
    assert (decided.reason, decided.alternative) == (reason, alternative)


def test_ties_are_said():
    decided = common_orientation([case("RAS"), case("LPS")])
    assert "turned to LPS, the first in the alphabet of the most frequent, so" in decided.reason


def test_statistics_are_over_like_axes():
    """Axial and sagittal files of the same patient: 5 mm from slice to slice, from foot to head or left to right."""
    sagittal = turned(case("PSR"), "LPS")  # the file's z runs to the right, its y up, its x back
    assert sagittal.spacing_mm == (1.0, 0.9, 5.0)
    assert sagittal.shape == (256, 240, 20)
    assert sagittal.shape_after_crop == (200, 150, 18)
    assert sagittal.orientation == "LPS"
    assert (sagittal.name, sagittal.relative_size) == ("a", 0.5)


@pytest.mark.parametrize("orientation", [None, "RAS"])
def test_a_flip_changes_no_number(orientation):
    assert turned(case("LPS"), orientation).model_copy(update={"orientation": "LPS"}) == case("LPS")


def test_pictures_are_not_turned():
    assert turned(case(None), "LPS") == case(None)


@pytest.mark.parametrize("code", CODES)
def test_facts_turn_as_images_do(code):
    facts = turned(case(code, (2, 3, 4), (5.0, 1.0, 0.9), (2, 3, 4)), "SRA")
    grid = Grid((2, 3, 4), (5.0, 1.0, 0.9), (0.0, 0.0, 0.0), direction(code))
    plan = Preprocessing(orientation="SRA", spacing_mm=facts.spacing_mm, normalisation=(NoNormalisation(),))
    array, placement = prepare_image(Image(np.ones((1, 2, 3, 4), dtype=np.float32), grid), plan)
    assert array.shape[1:] == facts.shape == facts.shape_after_crop
    assert placement.cropped_spacing_mm == facts.spacing_mm
