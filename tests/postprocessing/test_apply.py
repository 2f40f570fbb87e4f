"""Rules on label maps, against scipy's components and maps worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage as ndi

from autoseg.dataset.labels import Labels, Region
from autoseg.errors import PlanError
from autoseg.plan.postprocessing import FillHoles, KeepLargest, RemoveSmall, RemoveUncertain
from autoseg.postprocessing import apply

LABELS = Labels(values={"background": 0, "kidney": 1, "tumour": 4})
BRAIN = Labels(
    values={"background": 0, "oedema": 1, "core": 2, "enhancing": 3},
    regions={
        "whole": Region(values=(1, 2, 3), paint=1),
        "inner": Region(values=(2, 3), paint=2),
        "bright": Region(values=(3,), paint=3),
    },
)
FULL = np.ones((3, 3, 3))
SPACING = (2.5, 0.8, 0.8)


def blobs(seed: int, values: tuple[int, ...] = (1, 4), shape: tuple[int, ...] = (12, 20, 24)) -> NDArray[np.uint8]:
    """Several components of each value."""
    rng = np.random.default_rng(seed)
    smooth = ndi.gaussian_filter(rng.normal(size=shape), (0.8 * (shape[0] > 1), 1.2, 1.2))
    cut = np.quantile(smooth, (0.8, 0.9))
    return np.select([smooth > cut[1], smooth > cut[0]], values[::-1], 0).astype(np.uint8)


def scipys(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    numbers, count = ndi.label(mask, FULL)
    return numbers, np.bincount(numbers.ravel(), minlength=count + 1)[1:]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [1, 2, 5, 10000])
@pytest.mark.parametrize(("target", "values"), [("kidney", [1]), ("tumour", [4]), (None, [1, 4])])
def test_the_largest_are_kept(seed, count, target, values):
    given = blobs(seed)
    mask = np.isin(given, values)
    numbers, sizes = scipys(mask)
    assert len(sizes) > 2
    largest = np.argsort(-sizes, kind="stable")[:count] + 1
    expected = np.where(mask & ~np.isin(numbers, largest), 0, given)
    found = apply([KeepLargest(target=target, count=count)], given, SPACING, LABELS)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == given.dtype
    np.testing.assert_array_equal(given, blobs(seed))  # what is given is left alone


@pytest.mark.parametrize("seed", range(3))
def test_small_ones_are_removed_by_their_volume(seed):
    given = blobs(seed)
    numbers, sizes = scipys(given == 1)
    voxel_mm3 = 2.5 * 0.8 * 0.8
    least = float(np.median(sizes)) * voxel_mm3  # one component has just this volume, and stays
    expected = np.where(np.isin(numbers, 1 + np.flatnonzero(sizes * voxel_mm3 < least - 1e-6)), 0, given)
    assert (expected != given).any()
    found = apply([RemoveSmall(target="kidney", least_mm3=least)], given, SPACING, LABELS)
    np.testing.assert_array_equal(found, expected)


def test_doubtful_ones_are_removed_by_their_mean_probability():
    given = blobs(5)
    probabilities = np.random.default_rng(0).random((3, *given.shape)).astype(np.float16)
    numbers, sizes = scipys(given == 4)
    means = ndi.mean(probabilities[2].astype(float), numbers, np.arange(1, len(sizes) + 1))
    least = float(np.median(means)) + 1e-6
    expected = np.where(np.isin(numbers, 1 + np.flatnonzero(means < least)), 0, given)
    assert (expected == 4).any() and (expected != given).any()
    rule = RemoveUncertain(target="tumour", least_probability=least)
    np.testing.assert_array_equal(apply([rule], given, SPACING, LABELS, probabilities), expected)
    with pytest.raises(PlanError, match="'remove_uncertain' of 'tumour' looks at probabilities; give them, too"):
        apply([rule], given, SPACING, LABELS)


def test_what_does_not_convince_becomes_what_it_was_sought_in():
    given = np.array([[[4, 1, 4, 4, 0, 4]]], np.uint8)
    shares = np.zeros((3, 1, 1, 6))
    shares[2, 0, 0] = [0.85, 0.1, 0.9, 0.6, 0.0, 0.79]  # means 0.85, 0.75, 0.79
    rule = RemoveUncertain(target="tumour", least_probability=0.8, becomes="kidney")
    assert apply([rule], given, SPACING, LABELS, shares).tolist() == [[[4, 1, 1, 1, 0, 1]]]
    inner = RemoveUncertain(target="bright", least_probability=0.8, becomes="whole")
    nested = np.array([[[3, 1, 3, 3, 0, 3]]], np.uint8)
    assert apply([inner], nested, SPACING, BRAIN, shares).tolist() == [[[3, 1, 1, 1, 0, 1]]]
    with pytest.raises(PlanError, match="'remove_uncertain' is for 'cyst', which this dataset does not predict"):
        apply([rule.model_copy(update={"becomes": "cyst"})], given, SPACING, LABELS, shares)


@pytest.mark.parametrize("shape", [(12, 20, 24), (1, 30, 30), (14, 1, 30)])
def test_holes_are_filled_where_there_is_background(shape):
    given = np.where(blobs(7, shape=shape) > 0, 0, 1).astype(np.uint8)  # the blobs are holes
    given[shape[0] // 2, shape[1] // 2, shape[2] // 2] = 4
    flat = [size for size in shape if size > 1]
    filled = ndi.binary_fill_holes((given == 1).reshape(flat)).reshape(shape)
    expected = np.where(filled & (given == 0), 1, given)
    assert (expected != given).any()
    np.testing.assert_array_equal(apply([FillHoles(target="kidney")], given, SPACING, LABELS), expected)


def test_what_a_region_loses_becomes_the_region_around_it():
    given = np.array([[[1, 2, 2, 3, 1, 3, 1, 0, 3, 0]]], np.uint8)
    largest = [KeepLargest(target="inner")]  # 2 2 3 stays; the 3 in oedema becomes that, and so does the lone one
    assert apply(largest, given, SPACING, BRAIN).tolist() == [[[1, 2, 2, 3, 1, 1, 1, 0, 1, 0]]]
    whole = [KeepLargest(target="whole")]
    assert apply(whole, given, SPACING, BRAIN).tolist() == [[[1, 2, 2, 3, 1, 3, 1, 0, 0, 0]]]
    bright = [RemoveSmall(target="bright", least_mm3=100)]
    assert apply(bright, given, SPACING, BRAIN).tolist() == [[[1, 2, 2, 2, 1, 2, 1, 0, 2, 0]]]


def test_rules_follow_one_another():
    given = np.array([[[1, 1, 1, 0, 4, 4, 0, 4]]], np.uint8)
    merged, tumour = KeepLargest(), KeepLargest(target="tumour")
    assert apply([merged, tumour], given, SPACING, LABELS).tolist() == [[[1, 1, 1, 0, 0, 0, 0, 0]]]
    assert apply([tumour], given, SPACING, LABELS).tolist() == [[[1, 1, 1, 0, 4, 4, 0, 0]]]


def test_an_empty_map_stays_empty():
    rules = [KeepLargest(), RemoveSmall(least_mm3=1), FillHoles(target="kidney")]
    assert not apply(rules, np.zeros((2, 3, 4), np.uint8), SPACING, LABELS).any()


def test_a_target_that_is_not_there():
    with pytest.raises(PlanError) as error:
        apply([KeepLargest(target="liver")], np.zeros((1, 1, 1), np.uint8), SPACING, LABELS)
    assert str(error.value) == (
        "postprocessing 'keep_largest' is for 'liver', which this dataset does not predict. Name one of kidney, "
        "tumour, or null for all foreground."
    )
