from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from autoseg.dataset.labels import IGNORE_CLASS
from autoseg.preprocessing.resampling_classes import resample_classes

SHAPES = [
    pytest.param((9, 10, 11), (18, 20, 22), id="twice"),
    pytest.param((8, 10, 12), (4, 5, 6), id="half"),
    pytest.param((9, 10, 11), (13, 17, 12), id="grow"),
    pytest.param((20, 30, 25), (13, 11, 24), id="shrink"),
    pytest.param((7, 30, 25), (20, 30, 11), id="grow, stay, shrink"),
    pytest.param((1, 12, 13), (1, 20, 9), id="2-D"),
    pytest.param((1, 12, 13), (3, 1, 1), id="from and to one voxel"),
]
ORDERS = [(1, 1, 1), (0, 1, 1), (1, 0, 1), (0, 0, 0)]


def zoomed(array, shape, order):
    factors = [after / before for before, after in zip(array.shape, shape, strict=True)]
    return ndimage.zoom(array.astype(np.float64), factors, order=order, mode="nearest", grid_mode=True)


def largest(class_map, shape, order):
    """The rule, for a map of any dimensions: the largest indicator, ties to the nearest, else to the smallest."""
    values = sorted(np.unique(class_map), key=lambda value: (value == IGNORE_CLASS, value))
    indicators = np.stack([zoomed(class_map == value, shape, order) for value in values])
    top = indicators == indicators.max(axis=0)
    nearest = zoomed(class_map, shape, 0)
    nearest_is_top = np.any([(nearest == value) & on_top for value, on_top in zip(values, top, strict=True)], axis=0)
    return np.where(nearest_is_top, nearest, np.array(values)[top.argmax(axis=0)])


def by_definition(class_map, shape, orders):
    """With an axis of its own order, slice by slice, and then the nearest slice."""
    odd = [axis for axis in range(3) if orders.count(orders[axis]) == 1]
    if not odd:
        return largest(class_map, shape, orders[0])
    axis = odd[0]
    in_plane = [size for other, size in enumerate(shape) if other != axis]
    order = next(order for other, order in enumerate(orders) if other != axis)
    slices = [largest(one, in_plane, order) for one in np.moveaxis(class_map, axis, 0)]
    stacked = np.stack(slices, axis=axis)
    return zoomed(stacked, [shape[i] if i == axis else stacked.shape[i] for i in range(3)], 0)


def random_map(shape, smooth, classes=(IGNORE_CLASS, 0, 1, 2, 5)):
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(len(classes), *shape))
    if smooth:
        noise = ndimage.gaussian_filter(noise, (0, 2, 2, 2))
    return np.array(classes, dtype=np.int16)[noise.argmax(axis=0)]


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize(("before", "after"), SHAPES)
def test_every_voxel_follows_the_rule(before, after, orders, smooth):
    class_map = random_map(before, smooth)
    ours = resample_classes(torch.from_numpy(class_map), after, orders)
    assert ours.dtype == torch.int16
    np.testing.assert_array_equal(ours, by_definition(class_map, after, orders))


def test_many_classes():
    class_map = random_map((20, 22, 24), True, tuple(range(100)))
    ours = resample_classes(torch.from_numpy(class_map), (31, 33, 23), (1, 1, 1))
    np.testing.assert_array_equal(ours, by_definition(class_map, (31, 33, 23), (1, 1, 1)))


@pytest.mark.parametrize("orders", ORDERS)
def test_slabs_make_no_difference(orders, monkeypatch):
    monkeypatch.setattr("autoseg.preprocessing.resampling_classes.SLAB_VOXELS", 1)
    monkeypatch.setattr("autoseg.preprocessing.resampling_classes.VOXELS_AT_ONCE", 7)
    class_map = random_map((9, 10, 11), True)
    ours = resample_classes(torch.from_numpy(class_map), (18, 13, 22), orders)
    np.testing.assert_array_equal(ours, by_definition(class_map, (18, 13, 22), orders))


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        pytest.param([0, 1, 1, 0], [1, 0], id="half way between two: the upper one is the nearest"),
        pytest.param([1, 0, 0, 1], [0, 1], id="whichever is larger"),
        pytest.param([-1, 0, 2, -1], [0, -1], id="ignore is a class like others"),
        pytest.param([5, 5, 5, 5], [5, 5], id="one class"),
    ],
)
def test_half_as_many_voxels(classes, expected):
    class_map = torch.tensor(classes, dtype=torch.int16)[None, None]
    assert resample_classes(class_map, (1, 1, 2), (1, 1, 1)).ravel().tolist() == expected


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        pytest.param([3, 1, 1, 1, 2, 2, 2, 3], 1, id="the nearest has a quarter, two others 3/8: the smaller of them"),
        pytest.param([3, -1, -1, -1, 2, 2, 2, 3], 2, id="ignore is the largest class"),
        pytest.param([3, 1, 1, 1, 1, 2, 3, 2], 1, id="the nearest has a quarter, another a half"),
        pytest.param([1, 1, 1, 1, 2, 2, 2, 2], 2, id="the nearest is one of the largest"),
    ],
)
def test_the_middle_of_eight_voxels(block, expected):
    class_map = torch.tensor(block, dtype=torch.int16).reshape(2, 2, 2)
    assert resample_classes(class_map, (1, 1, 1), (1, 1, 1)).item() == expected


def test_a_map_of_that_shape_is_returned_as_it_is():
    class_map = torch.zeros((2, 3, 4), dtype=torch.int16)
    assert resample_classes(class_map, (2, 3, 4), (1, 1, 1)) is class_map


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_the_same_on_a_gpu():
    class_map = torch.from_numpy(random_map((20, 22, 24), True))
    here, there = (resample_classes(one, (31, 44, 12), (1, 1, 1)) for one in (class_map, class_map.cuda()))
    assert there.device.type == "cuda"
    assert (here == there.cpu()).all()
