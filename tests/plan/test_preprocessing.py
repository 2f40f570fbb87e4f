"""Orientations that a plan may name."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

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
