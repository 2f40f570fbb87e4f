from __future__ import annotations

import pytest

from autoseg.preprocessing.voxel_size import axis_orders, resampled_shape


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
