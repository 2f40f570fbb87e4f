from __future__ import annotations

import math

import pytest
import torch

from autoseg.networks import build_network
from autoseg.plan.network import PlainUNet

PLAN = PlainUNet(
    features=(16, 32),
    kernels=((3, 3, 3),) * 2,
    strides=((1, 1, 1), (2, 2, 2)),
    encoder_convolutions=(2, 2),
    decoder_convolutions=(2,),
)


def weights(seed):
    return build_network(PLAN, 1, 2, seed).state_dict()


def test_the_seed_decides_the_weights():
    first, again, other = weights(3), weights(3), weights(4)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["encoder.0.0.0.weight"], other["encoder.0.0.0.weight"])


def test_the_global_random_state_is_left_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    weights(3)
    assert torch.equal(torch.rand(3), expected)
    torch.rand(7)  # nor does it decide the weights
    assert torch.equal(weights(3)["heads.0.weight"], weights(3)["heads.0.weight"])


@pytest.mark.parametrize(
    ("name", "fan_in"),
    [
        ("encoder.0.1.0.weight", 27 * 16),
        ("encoder.1.1.0.weight", 27 * 32),
        ("decoder.0.0.0.weight", 27 * 32),
    ],
)
def test_he_initialisation(name, fan_in):
    """Normal with variance 2 / ((1 + slope²) · fan-in); doi:10.1109/ICCV.2015.123."""
    drawn = weights(0)[name].double()
    expected = math.sqrt(2 / ((1 + 0.01**2) * fan_in))
    assert drawn.std().item() == pytest.approx(expected, rel=0.05)
    assert abs(drawn.mean().item()) < 5 * expected / math.sqrt(drawn.numel())
    assert not weights(0)[name.replace("weight", "bias")].any()


def test_names_of_weights():
    """Trained models are read by these names, so they stay."""
    layers = ("encoder.0.0.0", "encoder.0.0.1", "encoder.0.1.0", "encoder.0.1.1", "encoder.1.0.0", "encoder.1.0.1")
    layers += ("encoder.1.1.0", "encoder.1.1.1", "upsampling.0", "decoder.0.0.0", "decoder.0.0.1")
    layers += ("decoder.0.1.0", "decoder.0.1.1", "heads.0")
    assert list(weights(0)) == [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
