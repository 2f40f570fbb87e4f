from __future__ import annotations

import numpy as np
import pytest

from autoseg.plan.preprocessing import CTWindow, DivideBy255, NoNormalisation, RescaleToUnit, ZScore
from autoseg.preprocessing.normalising import needs_mask, nonzero_mask, normalise

WINDOW = CTWindow(lower=-100.0, upper=200.0, mean=50.0, std=60.0)


def zscore(values):
    return (values - values.mean()) / values.std()


def ct(values):
    return (np.clip(values, -100, 200) - 50) / 60


def unit(values):
    return (values - values.min()) / (values.max() - values.min())


@pytest.mark.parametrize(
    ("kind", "definition"),
    [
        (ZScore(), zscore),
        (WINDOW, ct),
        (RescaleToUnit(), unit),
        (DivideBy255(), lambda values: values / 255),
        (NoNormalisation(), lambda values: values),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_equals_its_formula_in_double_precision(kind, definition):
    array = np.random.default_rng(0).normal(100, 200, size=(1, 12, 20, 30)).astype(np.float32)
    before = array.copy()
    ours = normalise(array, None, (kind,))
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours[0], definition(array[0].astype(np.float64)), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(array, before)


def test_inside_the_mask_only():
    array = np.zeros((1, 4, 8, 8), dtype=np.float32)
    array[0, 1:3, 2:6, 2:6] = np.random.default_rng(0).normal(10, 3, size=(2, 4, 4))
    mask = nonzero_mask(array)
    ours = normalise(array, mask, (ZScore(inside_mask=True),))[0]
    np.testing.assert_allclose(ours[mask], zscore(array[0][mask].astype(np.float64)), rtol=1e-4, atol=1e-5)
    assert (ours[~mask] == 0).all()


def test_each_channel_has_its_own_kind():
    array = np.full((2, 2, 2, 2), 51, dtype=np.float32)
    ours = normalise(array, None, (NoNormalisation(), DivideBy255()))
    np.testing.assert_allclose(ours[:, 0, 0, 0], [51, 0.2])


@pytest.mark.parametrize("kind", [ZScore(), RescaleToUnit(), ZScore(inside_mask=True)], ids=repr)
@pytest.mark.parametrize("value", [0.0, 7.0])
def test_an_image_without_contrast_becomes_zero(kind, value):
    array = np.full((1, 3, 3, 3), value, dtype=np.float32)
    assert (normalise(array, nonzero_mask(array), (kind,)) == 0).all()


@pytest.mark.parametrize(
    ("normalisation", "expected"),
    [((ZScore(),), False), ((WINDOW, ZScore(inside_mask=True)), True), ((NoNormalisation(), RescaleToUnit()), False)],
)
def test_needs_mask(normalisation, expected):
    assert needs_mask(normalisation) is expected


def test_the_mask_joins_channels_and_fills_holes():
    array = np.zeros((2, 5, 5, 5), dtype=np.float32)
    array[0, 1:4, 1:4, 1:4] = -3.0
    array[0, 2, 2, 2] = 0  # a hole
    array[1, 0, 0, 0] = 1
    mask = nonzero_mask(array)
    assert mask.sum() == 27 + 1
    assert mask[2, 2, 2] and mask[0, 0, 0]
