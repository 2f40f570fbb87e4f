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
        "The patch that fits the memory has 40 × 56 × 40 voxels, in multiples of 8 × 8 × 8, which the network can "
        "halve. The median image has 36 × 50 × 35: along all axes the patch reaches beyond it and would be padded, "
        "which costs time and teaches nothing. As the time is limited, it is rounded down there, to 32 × 48 × 32: 45 % "
        "fewer voxels."
    )
    assert trimmed.alternative == (
        "Not rounded down, patches of 40 × 56 × 40 would have 82 % more voxels, and an iteration take about as much "
        "longer."
    )


@pytest.mark.parametrize(
    ("median", "named"),
    [((38, 50, 35), "along axes 1 and 2 the patch"), ((38, 50, 38), "along axis 1 the patch")],
)
def test_the_reason_names_the_axes(median, named):
    assert named in trim_patch(whole((1.0, 1.0, 1.0), median), (1.0, 1.0, 1.0), median).reason
