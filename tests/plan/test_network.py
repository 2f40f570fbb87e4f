from __future__ import annotations

import pytest

from autoseg.plan.network import PlainUNet


@pytest.mark.parametrize(
    ("strides", "divisor"),
    [
        pytest.param([(1, 1), (2, 2)], (2, 2), id="one step"),
        pytest.param([(1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2)], (4, 8, 8), id="coarse first axis"),
        pytest.param([(1, 1, 1), (1, 1, 3)], (1, 1, 3), id="one axis"),
    ],
)
def test_by_what_a_patch_must_be_divisible(strides, divisor):
    depth = len(strides)
    network = PlainUNet(
        features=(8,) * depth,
        kernels=((3,) * len(divisor),) * depth,
        strides=strides,
        encoder_convolutions=(2,) * depth,
        decoder_convolutions=(2,) * (depth - 1),
    )
    assert network.divisor == divisor
