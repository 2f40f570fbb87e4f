"""Orientation codes against SimpleITK's own."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.fingerprint.orientation import NO_TURN, direction, orientation, turn
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


@pytest.mark.parametrize("code", CODES)
def test_a_direction_for_every_code(code):
    expected = sitk.DICOMOrientImageFilter.GetDirectionCosinesFromOrientation(code)
    np.testing.assert_array_equal(direction(code), expected)


@pytest.mark.parametrize("found", CODES)
@pytest.mark.parametrize("wanted", ["LPS", "RAS", "SRP", "AIL"])
def test_turns_are_simpleitks(found, wanted):
    array = np.arange(24).reshape(2, 3, 4)
    image = sitk.GetImageFromArray(array)
    image.SetDirection(direction(found))
    axes, backwards = turn(found, wanted)
    turned = np.flip(array.transpose(axes), [axis for axis in range(3) if backwards[axis]])
    np.testing.assert_array_equal(turned, sitk.GetArrayFromImage(sitk.DICOMOrient(image, wanted)))


def test_no_turn():
    assert all(turn(code, code) == NO_TURN for code in CODES)
