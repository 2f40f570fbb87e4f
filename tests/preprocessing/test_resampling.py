from __future__ import annotations

import os
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from autoseg.memory import forget_peak, peak_memory_bytes
from autoseg.preprocessing.resampling import interpolation_matrix, resample


def zoomed(volume, shape, orders):
    """The definition: SciPy's zoom in float64, one axis after the other, clipped to the range of what is zoomed.

    An axis with an order of its own comes last, after each slice across it was clipped.
    """
    odd = [axis for axis in range(3) if orders.count(orders[axis]) == 1]
    apart = odd if len(odd) == 1 else []
    together = [axis for axis in range(3) if axis not in apart]
    low, high = (limit(volume, axis=tuple(together), keepdims=True) for limit in (np.min, np.max))
    volume = volume.astype(np.float64)
    for axis in together:
        volume = zoomed_along(volume, shape[axis], orders[axis], axis)
    volume = np.clip(volume, low, high)
    for axis in apart:
        volume = zoomed_along(volume, shape[axis], orders[axis], axis)
    return volume


def zoomed_along(volume, size, order, axis):
    factors = [1.0, 1.0, 1.0]
    factors[axis] = size / volume.shape[axis]
    return ndimage.zoom(volume, factors, order=order, mode="nearest", grid_mode=True)


SHAPES = [
    pytest.param((9, 10, 11), (9, 10, 11), id="unchanged"),
    pytest.param((9, 10, 11), (18, 20, 22), id="twice"),
    pytest.param((9, 10, 11), (13, 17, 12), id="grow"),
    pytest.param((20, 30, 25), (13, 11, 24), id="shrink"),
    pytest.param((7, 30, 25), (20, 30, 11), id="grow, stay, shrink"),
    pytest.param((1, 12, 13), (1, 20, 9), id="2-D"),
    pytest.param((1, 12, 13), (3, 1, 1), id="from and to one voxel"),
]


@pytest.mark.parametrize("orders", [(0, 0, 0), (1, 1, 1), (3, 3, 3), (0, 3, 3), (5, 2, 1)])
@pytest.mark.parametrize(("before", "after"), SHAPES)
def test_equals_scipy_zoom_edges_included(before, after, orders):
    array = np.random.default_rng(0).normal(size=(2, *before)).astype(np.float32)
    ours = resample(torch.from_numpy(array), after, orders)
    assert ours.dtype == torch.float32
    expected = np.stack([zoomed(channel, after, orders) for channel in array])
    np.testing.assert_allclose(ours.numpy(), expected, rtol=0, atol=5e-6)


def test_equals_one_call_of_scipy_zoom_in_three_dimensions():
    volume = np.random.default_rng(0).normal(size=(20, 31, 24)).astype(np.float32)
    expected = ndimage.zoom(volume.astype(float), (1.5, 20 / 31, 1.25), order=3, mode="nearest", grid_mode=True)
    expected = expected.clip(volume.min(), volume.max())
    ours = resample(torch.from_numpy(volume)[None], (30, 20, 30), (3, 3, 3))[0]
    np.testing.assert_allclose(ours.numpy(), expected, rtol=0, atol=5e-6)


def test_a_view_with_other_strides_is_resampled_like_its_copy():
    array = torch.rand(6, 7, 8, 2).permute(3, 0, 1, 2)
    after = (9, 5, 11)
    torch.testing.assert_close(resample(array, after, (3, 3, 3)), resample(array.contiguous(), after, (3, 3, 3)))


@pytest.mark.parametrize("orders", [(3, 3, 3), (0, 3, 3), (3, 3, 0), (3, 1, 3)])
def test_a_step_stays_within_its_range(orders):
    step = torch.zeros(1, 12, 12, 12)
    step[:, 6:, 5:, 4:] = 1
    step[:, 8:] *= 2  # slices along z and x have ranges of their own
    resampled = resample(step, (20, 21, 22), orders)
    assert resampled.min() == 0 and resampled.max() == 2
    np.testing.assert_allclose(resampled[0], zoomed(step[0].numpy(), (20, 21, 22), orders), rtol=0, atol=5e-6)


def test_each_channel_has_its_own_range():
    array = torch.rand(2, 6, 7, 8) * torch.tensor([1.0, 100.0])[:, None, None, None]
    resampled = resample(array, (12, 13, 14), (3, 3, 3))
    assert (resampled.amax((1, 2, 3)) <= array.amax((1, 2, 3))).all()
    assert (resampled.amin((1, 2, 3)) >= array.amin((1, 2, 3))).all()


@pytest.mark.parametrize("slab_bytes", [1, 40_000])
@pytest.mark.parametrize("orders", [(3, 3, 3), (0, 3, 3), (3, 0, 3)])
@pytest.mark.parametrize("after", [(13, 40, 30), (40, 13, 11), (20, 25, 60), (33, 30, 25)])
def test_slabs_make_no_difference(slab_bytes, orders, after, monkeypatch):
    array = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 20, 30, 25)).astype(np.float32))
    monkeypatch.setattr("autoseg.preprocessing.resampling.SLAB_BYTES", slab_bytes)
    expected = np.stack([zoomed(channel.numpy(), after, orders) for channel in array])
    np.testing.assert_allclose(resample(array, after, orders), expected, rtol=0, atol=5e-6)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process its peak")
def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr("autoseg.preprocessing.resampling.SLAB_BYTES", 8 * 10**6)
    array, out = torch.rand(1, 64, 256, 256), torch.ones(1, 128, 384, 384)
    resample(array[:, :8], (16, 384, 384), (3, 3, 3))  # libraries allocate what they keep
    forget_peak()
    before = peak_memory_bytes(os.getpid())
    resample(array, (128, 384, 384), (3, 3, 3), out=out)
    assert peak_memory_bytes(os.getpid()) - before < 16e6  # at once it would be 64 MB


def test_the_result_can_be_written_into_an_array():
    array, out = torch.rand(2, 6, 7, 8), torch.full((2, 9, 5, 11), torch.nan)
    assert resample(array, (9, 5, 11), (3, 3, 3), out=out) is out
    torch.testing.assert_close(out, resample(array, (9, 5, 11), (3, 3, 3)))
    same = torch.zeros(2, 6, 7, 8)
    assert (resample(array, (6, 7, 8), (3, 3, 3), out=same) == array).all()


@given(n=st.integers(1, 40), m=st.integers(1, 40), order=st.integers(0, 5))
@settings(deadline=None, max_examples=60)
def test_every_matrix_keeps_a_constant(n, m, order):
    matrix = interpolation_matrix(n, m, order)
    assert matrix.shape == (m, n)
    assert matrix.dtype == np.float32
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-5)


def test_a_linear_ramp_stays_one_away_from_the_ends():
    ramp = torch.arange(30.0)[None, :, None, None]
    resampled = resample(ramp, (60, 1, 1), (3, 0, 0)).flatten()
    # Voxel i of 60 has its centre at (i + 0.5) / 2 - 0.5 of the old voxels.
    np.testing.assert_allclose(resampled[20:40], (np.arange(20, 40) + 0.5) / 2 - 0.5, atol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("orders", [(3, 3, 3), (0, 3, 3)])
def test_the_same_on_a_gpu(orders):
    array = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 20, 30, 25)).astype(np.float32))
    there = resample(array.cuda(), (31, 20, 40), orders)
    assert there.device.type == "cuda"
    torch.testing.assert_close(there.cpu(), resample(array, (31, 20, 40), orders), rtol=0, atol=1e-5)
