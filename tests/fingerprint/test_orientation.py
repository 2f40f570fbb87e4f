"""Orientation codes against SimpleITK's own."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.fingerprint.orientation import orientation
from autoseg.geometry import Grid


def grid(direction, dimensions=3):
    return Grid((4, 4, 4), (1.0, 1.0, 1.0), (0.0,) * dimensions, tuple(direction), dimensions)


CODES = ["".join(code) for axes in itertools.permutations(("RL", "AP", "IS")) for code in itertools.product(*axes)]


@pytest.mark.parametrize("code", CODES)
def test_every_straight_orientation(code):
    direction = sitk.DICOMOrientImageFilter.GetDirectionCosinesFromOrientation(code)
    assert orientation(grid(direction)) == code


def test_oblique_axes_count_as_the_nearest():
    angle = np.deg2rad(30)
    turned = [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    assert orientation(grid(np.ravel(turned))) == "LPS"


def test_pictures_have_none():
    assert orientation(grid((1.0, 0.0, 0.0, 1.0), dimensions=2)) is None
