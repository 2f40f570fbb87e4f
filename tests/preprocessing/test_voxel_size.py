from __future__ import annotations

import pytest

from autoseg.preprocessing.voxel_size import axis_orders


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
