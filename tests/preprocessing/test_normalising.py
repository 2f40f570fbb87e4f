from __future__ import annotations

import numpy as np
import pytest

from autoseg.plan.preprocessing import CTWindow, DivideBy255, NoNormalisation, RescaleToUnit, ZScore
from autoseg.preprocessing.normalising import needs_mask, nonzero_mask, normalise_channel

WINDOW = CTWindow(lower=-100.0, upper=200.0, mean=50.0, std=60.0)


def normalise(values, mask, kind):
    out = np.full_like(values, np.nan)
    normalise_channel(values, mask, kind, out)
    return out


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
    values = np.random.default_rng(0).normal(100, 200, size=(12, 20, 30)).astype(np.float32)
    before = values.copy()
    ours = normalise(values, None, kind)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, definition(values.astype(np.float64)), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(values, before)


def test_inside_the_mask_only():
    values = np.zeros((4, 8, 8), dtype=np.float32)
    values[1:3, 2:6, 2:6] = np.random.default_rng(0).normal(10, 3, size=(2, 4, 4))
    mask = nonzero_mask(values[None])
    ours = normalise(values, mask, ZScore(inside_mask=True))
    np.testing.assert_allclose(ours[mask], zscore(values[mask].astype(np.float64)), rtol=1e-4, atol=1e-5)
    assert (ours[~mask] == 0).all()


@pytest.mark.parametrize("kind", [ZScore(), RescaleToUnit(), ZScore(inside_mask=True)], ids=repr)
@pytest.mark.parametrize("value", [0.0, 7.0])
def test_an_image_without_contrast_becomes_zero(kind, value):
    values = np.full((3, 3, 3), value, dtype=np.float32)
    assert (normalise(values, nonzero_mask(values[None]), kind) == 0).all()


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
