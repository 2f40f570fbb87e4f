from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.inference.tiles import window_count, window_starts, window_weights


@pytest.mark.parametrize(
    ("size", "window", "overlap", "starts"),
    [
        (4, 4, 0.5, [0]),
        (5, 4, 0.5, [0, 1]),
        (8, 4, 0.5, [0, 2, 4]),
        (9, 4, 0.5, [0, 2, 3, 5]),
        (110, 64, 0.5, [0, 23, 46]),  # the example in nnU-Net's source
        (256, 128, 0.5, [0, 64, 128]),
        (8, 4, 0.0, [0, 4]),
        (9, 4, 0.0, [0, 2, 5]),
        (8, 4, 0.75, [0, 1, 2, 3, 4]),
        (3, 1, 0.0, [0, 1, 2]),  # every slice, in a 2-D stage
        (3, 1, 0.5, [0, 1, 2]),  # none of them twice
    ],
)
def test_starts(size, window, overlap, starts):
    assert window_starts(size, window, overlap) == starts


windows = st.integers(1, 60)
overlaps = st.floats(0, 0.9)
beyond = st.integers(0, 200)


@given(windows, beyond, overlaps)
def test_windows_cover_the_axis_and_keep_the_overlap(window, more, overlap):
    starts = window_starts(window + more, window, overlap)
    gaps = np.diff(starts)
    assert starts[0] == 0
    assert starts[-1] == more  # flush with the end
    assert (gaps > 0).all()
    assert (gaps <= window).all()
    assert (gaps < window * (1 - overlap) + 1).all()  # to a voxel, as starts are whole numbers


@given(windows, beyond, overlaps)
def test_starts_are_those_of_nnunet(window, more, overlap):
    count = math.ceil(more / (window * (1 - overlap))) + 1
    step = more / (count - 1) if count > 1 else 0
    published = [int(np.round(step * place)) for place in range(count)]
    assert window_starts(window + more, window, overlap) == sorted(set(published))
    assert window_count(window + more, window, overlap) == len(set(published))


E1, E2 = math.exp(-1), math.exp(-2)


@pytest.mark.parametrize(
    ("window", "sigma", "weights"),
    [
        # four voxels, a deviation of one: offsets ½ and 1½, and exp(-9/8) / exp(-1/8) = 1/e
        ((4,), 1 / 4, [E1, 1, 1, E1]),
        ((5,), 1 / 5, [E2, math.exp(-0.5), 1, math.exp(-0.5), E2]),
        ((1, 4), 1 / 4, [[E1, 1, 1, E1]]),
        ((4, 4), 1 / 4, np.outer([E1, 1, 1, E1], [E1, 1, 1, E1])),
        ((2, 4), 1 / 4, [[E1, 1, 1, E1]] * 2),
        ((2, 3), None, [[1, 1, 1], [1, 1, 1]]),
    ],
)
def test_weights(window, sigma, weights):
    found = window_weights(window, sigma)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, weights, rtol=1e-6)


@pytest.mark.parametrize("sigma", [0.125, 0.02, 0.001])
def test_no_voxel_is_without_weight(sigma):
    weights = window_weights((32, 32, 32), sigma)
    assert weights.min() > 0
    assert weights.max() == 1
    assert np.isfinite(weights * np.float32(1e4) / weights).all()
