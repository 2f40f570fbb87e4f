"""Does a low resolution pay, and which?"""

from __future__ import annotations

import math

import pytest

from autoseg.planner.lowres import low_resolution
from autoseg.planner.presets import PRESETS

MM = (1.0, 1.0, 1.0)
MEMORY = PRESETS["nnunet"].memory(3, 3, 8)


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
    assert (low_resolution(spacing_mm, median_shape, MEMORY) is not None) is expected


def test_a_quarter_is_seen_at_the_first_step_that_does():
    """128³ is a quarter of (512 / f)³ from f = 512 / 203.2 = 2.52 on: 1.03³² is 2.58, 1.03³¹ is 2.50."""
    found = low_resolution(MM, (512, 512, 512), MEMORY)
    assert found.spacing.value == pytest.approx((1.03**32,) * 3, rel=1e-12)
    assert found.median_shape == (199, 199, 199)
    assert found.voxels == pytest.approx((512 / 1.03**32) ** 3)
    assert found.spacing.facts["steps"] == 32
    assert found.spacing.reason == (
        "At full resolution a patch of 128 × 128 × 128 voxels sees 1.56 % of the median image. Voxels are enlarged, "
        "3 % at a time, the finest axes first, until a patch (128 × 128 × 128) sees a quarter: after 32 steps, at "
        "2.58 × 2.58 × 2.58 mm, it sees 27 % of 199 × 199 × 199 voxels."
    )
    assert found.spacing.alternative


def test_fine_axes_are_enlarged_first():
    """In-plane voxels come within a factor 2 of 5 mm after 44 steps: 0.7 · 1.03⁴³ is 2.495, times 1.03 is 2.570."""
    found = low_resolution((5.0, 0.7, 0.7), (300, 700, 700), MEMORY)
    z, y, x = found.spacing.value
    together = round(math.log(z / 5.0, 1.03))
    assert y == x == pytest.approx(0.7 * 1.03 ** (44 + together))
    assert z == pytest.approx(5.0 * 1.03**together)
    assert together > 0


def test_patches_that_are_small_for_want_of_time():
    """64³ is a quarter of (512 / f)³ from f = 512 / 101.6 = 5.04 on: 1.03⁵⁵ is 5.08, 1.03⁵⁴ is 4.93."""
    found = low_resolution(MM, (512, 512, 512), MEMORY, most_voxels=64**3)
    assert found.spacing.value == pytest.approx((1.03**55,) * 3, rel=1e-12)
    assert found.spacing.reason.startswith("In the time there is, patches have to be small. At full resolution a ")
    assert found.spacing.facts["most_voxels"] == 64**3
    assert low_resolution(MM, (138, 170, 138), MEMORY) is None  # where the memory alone counts
    assert low_resolution(MM, (138, 170, 138), MEMORY, most_voxels=64**3) is not None
