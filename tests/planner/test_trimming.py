"""Patches rounded down to what the network can halve."""

from __future__ import annotations

import pytest

from autoseg.planner.decided import Decided
from autoseg.planner.topology import network_topology
from autoseg.planner.trimming import trim_patch


def whole(spacing_mm, shape):
    return Decided(network_topology(spacing_mm, shape), "fit_patch", {"memory_gb": 8}, "It fits.")


@pytest.mark.parametrize(
    ("spacing_mm", "median", "expected"),
    [
        ((1.0, 1.0, 1.0), (36, 50, 35), (32, 48, 32)),  # padded to 40 × 56 × 40
        ((1.0, 1.0), (50.0, 35.0), (48, 32)),
        ((1.0, 1.0, 1.0), (64, 64, 64), (64, 64, 64)),  # not padded
        ((1.0, 1.0, 1.0), (33, 36, 36), (32, 32, 32)),  # each axis keeps 32/36 = 89 %
        ((1.0, 1.0, 1.0), (38, 50, 35), (40, 48, 32)),  # 32/38 = 84 % would be too little
        ((1.0, 1.0, 1.0), (9, 9, 9), (8, 8, 8)),  # padded to 10
        ((1.0, 1.0, 1.0), (13, 13, 13), (12, 12, 12)),  # padded to 16, which is halved twice; so is 12
    ],
)
def test_what_is_trimmed(spacing_mm, median, expected):
    given = whole(spacing_mm, median)
    trimmed = trim_patch(given, spacing_mm, median)
    assert trimmed.value.patch_size == expected
    assert trimmed.value.strides == given.value.strides


def test_patches_smaller_than_the_image_stay():
    given = whole((1.0, 1.0, 1.0), (64, 64, 64))
    assert trim_patch(given, (1.0, 1.0, 1.0), (200, 200, 200)) is given


def test_the_reason():
    trimmed = trim_patch(whole((1.0, 1.0, 1.0), (36, 50, 35)), (1.0, 1.0, 1.0), (36, 50, 35))
    assert trimmed.rule == "trim_patch"
    assert trimmed.facts == {"memory_gb": 8, "whole_patch": (40, 56, 40)}
    assert trimmed.reason == (
        "The median image has 36 × 50 × 35 voxels. A patch that holds all of it would have 40 × 56 × 40, for sizes are "
        "multiples of 8 × 8 × 8, and be padded; in a training by the clock it is rounded down to 32 × 48 × 32, which "
        "takes 45 % less time."
    )
    assert trimmed.alternative == "Without a time limit it would be 40 × 56 × 40."
