"""Orientations, and the sizes of slices, that a plan may name."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from autoseg.errors import PlanError
from autoseg.plan import check_plan
from autoseg.plan.preprocessing import NoNormalisation, Preprocessing


def preprocessing(orientation):
    return Preprocessing(orientation=orientation, spacing_mm=(1.0, 1.0, 1.0), normalisation=(NoNormalisation(),))


@pytest.mark.parametrize("code", [None, "LPS", "RAS", "PSR", "ILA"])
def test_orientations(code):
    assert preprocessing(code).orientation == code


@pytest.mark.parametrize("code", ["", "LP", "LPSS", "LRS", "LPL", "lps", "XYZ", "LPLS"])
def test_no_orientations(code):
    with pytest.raises(ValidationError) as refused:
        preprocessing(code)
    assert refused.value.errors()[0]["msg"] == (
        f"Value error, '{code}' is no orientation. Name one of L and R, one of A and P, one of I and S, in the order "
        "of the file's axes x, y, z, as in 'LPS'; or null, to keep each image's axes as they are"
    )


@pytest.mark.parametrize(
    ("changes", "dimensions", "problem"),
    [
        ({"resize_to": [24, 20]}, 2, "resize_to [24, 20] gives every slice one shape, and spacing_mm [1.0, 0.5] one"),
        ({"spacing_mm": None}, 2, "neither spacing_mm nor resize_to is set: give spacing_mm, the voxel size in mm,"),
        (
            {"spacing_mm": None, "resize_to": [24, 20]},
            3,
            "preprocessing.resize_to [24, 20] is the shape of single slices, and this is a stage of 3 dimensions; give",
        ),
        ({"spacing_mm": None, "resize_to": [24, 0]}, 2, "resize_to.1: must be greater than or equal to 1 (found 0)"),
        ({"spacing_mm": None, "resize_to": [24]}, 2, "preprocessing.resize_to.1: is missing"),
    ],
)
def test_slices_have_one_size(data, changes, dimensions, problem):
    data["stages"]["2d"]["preprocessing"] |= changes
    data["stages"]["2d"]["dimensions"] = dimensions
    with pytest.raises(PlanError) as refused:
        check_plan(data, "plan.json")
    assert problem in str(refused.value)


def test_slices_of_one_shape(data):
    data["stages"]["2d"]["preprocessing"] |= {"spacing_mm": None, "resize_to": [24, 20]}
    assert check_plan(data, "plan.json").stages["2d"].preprocessing.resize_to == (24, 20)
