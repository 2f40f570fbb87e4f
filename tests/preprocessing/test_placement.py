from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from autoseg.geometry import Grid
from autoseg.preprocessing.placement import Placement


def placed(**changes):
    fields = {
        "native_shape": (10, 12, 14),
        "native_spacing_mm": (5.0, 1.0, 0.7),
        "origin": (-3.5, 0.1, 1 / 3),
        "direction": (1.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 1.0, 0.0),
        "dimensions": 3,
        "crop": ((1, 9), (0, 12), (4, 7)),
        "axis_order": (2, 0, 1),
        "shape": (6, 20, 12),
        "spacing_mm": (0.35, 2.0, 1.0),
    }
    return Placement.model_validate(fields | changes)


def test_cropped_shape_and_spacing_are_in_the_arrays_order():
    assert placed().cropped_shape == (3, 8, 12)
    assert placed().cropped_spacing_mm == (0.7, 5.0, 1.0)


def test_the_grid_comes_back_exactly_through_json():
    placement = Placement.model_validate_json(placed().model_dump_json())
    assert placement == placed()
    assert placement.grid == Grid(
        (10, 12, 14), (5.0, 1.0, 0.7), (-3.5, 0.1, 1 / 3), (1.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 1.0, 0.0), 3
    )


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("against", list(product((False, True), repeat=3)))
def test_what_is_written_into_the_view_lies_where_it_was_cut_out(order, against):
    placement = placed(axis_order=order, reversed=against)
    native = np.random.default_rng(0).integers(0, 99, size=(2, 10, 12, 14))
    cut = placement.cut(native)
    assert cut.shape == (2, *placement.cropped_shape)
    written = np.zeros_like(native)
    placement.view(written)[:] = cut
    expected = np.zeros_like(native)
    expected[:, 1:9, 0:12, 4:7] = native[:, 1:9, 0:12, 4:7]
    np.testing.assert_array_equal(written, expected)


def test_axis_order_says_which_axis_of_the_file_comes_where():
    native = np.random.default_rng(0).normal(size=(10, 12, 14))
    cut = placed().cut(native)
    assert cut[2, 3, 5] == native[1 + 3, 0 + 5, 4 + 2]


def test_reversed_axes_are_the_arrays():
    native = np.random.default_rng(0).normal(size=(10, 12, 14))
    cut = placed(reversed=(True, False, True)).cut(native)
    assert cut.shape == (3, 8, 12)
    assert cut[2, 3, 5] == native[1 + 3, 11 - 5, 6 - 2]
    assert cut.flags.c_contiguous


@pytest.mark.parametrize(
    ("changes", "there", "back"),
    [
        pytest.param({}, (3, 0, 3), (3, 0, 3), id="5 mm slices, which became axis 1"),
        pytest.param({"native_spacing_mm": (1.0, 1.0, 1.0)}, (3, 0, 3), (3, 0, 3), id="coarse after only"),
        pytest.param({"spacing_mm": (5.0, 1.0, 1.0)}, (3, 0, 3), (0, 3, 3), id="the grid one comes from decides"),
        pytest.param({"dimensions": 2}, (3, 3, 3), (3, 3, 3), id="2-D images have no coarse axis"),
    ],
)
def test_spline_orders_there_and_back(changes, there, back):
    placement = placed(**changes)
    assert placement.orders_in(3, 0) == there
    assert placement.orders_back(3, 0) == back
