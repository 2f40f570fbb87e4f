from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from autoseg.dataset.labels import IGNORE_CLASS
from autoseg.preprocessing.resampling import (
    axis_orders,
    interpolation_matrix,
    resample,
    resample_classes,
    resampled_shape,
)


def zoomed(volume, shape, orders):
    """The definition: SciPy's zoom in float64, one axis after the other."""
    volume = volume.astype(np.float64)
    for axis in range(3):
        factors = [1.0, 1.0, 1.0]
        factors[axis] = shape[axis] / volume.shape[axis]
        volume = ndimage.zoom(volume, factors, order=orders[axis], mode="nearest", grid_mode=True)
    return volume


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
    ours = resample(torch.from_numpy(volume)[None], (30, 20, 30), (3, 3, 3))[0]
    np.testing.assert_allclose(ours.numpy(), expected, rtol=0, atol=5e-6)


def test_a_view_with_other_strides_is_resampled_like_its_copy():
    array = torch.rand(6, 7, 8, 2).permute(3, 0, 1, 2)
    after = (9, 5, 11)
    torch.testing.assert_close(resample(array, after, (3, 3, 3)), resample(array.contiguous(), after, (3, 3, 3)))


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


@pytest.mark.parametrize(
    ("shape", "spacing", "new_spacing", "expected"),
    [
        ((10, 20, 30), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (10, 20, 30)),
        ((10, 20, 30), (5.0, 0.5, 0.5), (2.5, 1.0, 0.25), (20, 10, 60)),
        ((10, 20, 30), (1.0, 1.0, 1.0), (3.0, 3.0, 3.1), (3, 7, 10)),
        ((1, 20, 30), (1.0, 1.0, 1.0), (9.0, 1.0, 1.0), (1, 20, 30)),
    ],
)
def test_resampled_shape(shape, spacing, new_spacing, expected):
    assert resampled_shape(shape, spacing, new_spacing) == expected


@pytest.mark.parametrize(
    ("spacing", "new_spacing", "expected"),
    [
        pytest.param((1.0, 1.0, 1.0), (2.0, 1.0, 1.0), (3, 3, 3), id="isotropic"),
        pytest.param((3.0, 1.0, 1.0), (1.0, 1.0, 1.0), (3, 3, 3), id="exactly 3 times is not more"),
        pytest.param((3.1, 1.0, 1.0), (1.0, 1.0, 1.0), (0, 3, 3), id="coarse before"),
        pytest.param((1.0, 1.0, 1.0), (3.1, 1.0, 1.0), (0, 3, 3), id="coarse after"),
        pytest.param((1.0, 1.0, 5.0), (5.0, 1.0, 1.0), (3, 3, 0), id="before goes first"),
        pytest.param((0.2, 1.0, 1.0), (1.0, 1.0, 1.0), (3, 3, 3), id="two coarsest axes"),
        pytest.param((0.2, 1.0, 1.0), (1.0, 1.0, 4.0), (3, 3, 3), id="two coarsest before, one after"),
    ],
)
def test_axis_orders(spacing, new_spacing, expected):
    assert axis_orders(spacing, new_spacing, order=3, coarse_axis_order=0) == expected


def classes_by_definition(class_map, shape, orders):
    """Argmax over interpolated indicators; and how far the largest is ahead."""
    values = np.unique(class_map)
    indicators = np.stack([zoomed(class_map == value, shape, orders) for value in values])
    ranked = np.sort(indicators, axis=0)
    ahead = ranked[-1] - ranked[-2] if len(values) > 1 else np.ones(shape)
    return values[indicators.argmax(axis=0)], ahead


@pytest.mark.parametrize("orders", [(1, 1, 1), (0, 1, 1), (0, 0, 0)])
@pytest.mark.parametrize(("before", "after"), SHAPES)
def test_classes_equal_the_argmax_of_interpolated_indicators(before, after, orders):
    class_map = np.random.default_rng(0).choice([IGNORE_CLASS, 0, 1, 2, 5], before).astype(np.int16)
    ours = resample_classes(class_map, after, orders)
    expected, ahead = classes_by_definition(class_map, after, orders)
    assert ours.dtype == np.int16
    assert (ours == expected)[ahead > 1e-5].all()


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        pytest.param([0, 1, 1, 0], [0, 0], id="ties go to the smaller class"),
        pytest.param([-1, 0, 2, 2], [-1, 2], id="ignore is the smallest"),
        pytest.param([5, 5, 5, 5], [5, 5], id="one class"),
    ],
)
def test_classes_of_half_as_many_voxels(classes, expected):
    class_map = np.array(classes, dtype=np.int16)[None, None]
    assert resample_classes(class_map, (1, 1, 2), (1, 1, 1)).ravel().tolist() == expected


def test_classes_of_an_unchanged_shape_are_returned_as_they_are():
    class_map = np.zeros((2, 3, 4), dtype=np.int16)
    assert resample_classes(class_map, (2, 3, 4), (1, 1, 1)) is class_map
