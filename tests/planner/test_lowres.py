"""Does a low resolution pay?"""

from __future__ import annotations

import pytest

from autoseg.planner.lowres import low_resolution_pays
from autoseg.planner.memory import fit_patch

MM = (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("spacing_mm", "median_shape", "expected"),
    [
        (MM, (36, 50, 35), False),  # the patch is the image
        (MM, (138, 170, 138), False),  # 128³ is more than a quarter
        (MM, (220, 220, 220), False),  # 128³ is a fifth: a quarter is reached before half the voxels are gone
        (MM, (512, 512, 512), True),
        ((5.0, 0.7, 0.7), (100, 512, 512), True),  # in-plane first
    ],
)
def test_pays(spacing_mm, median_shape, expected):
    patch = fit_patch(spacing_mm, median_shape, 3, 8).value.patch_size
    assert low_resolution_pays(spacing_mm, median_shape, patch, 3, 8) is expected
