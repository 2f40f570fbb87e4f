"""Residual blocks against sums worked out by hand, and against formulas."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from autoseg.networks.blocks import ResidualBlock, initialise


def fresh(*of):
    return ResidualBlock(*of).apply(initialise)


def test_a_fresh_block_hands_on_what_came_in():
    """The last norm multiplies by 0 and adds 0, so only the leaky ReLU is left."""
    images = torch.tensor([[[[3.0, -2.0], [0.0, -500.0]]]])
    found = fresh(1, 1, (3, 3), (1, 1))(images)
    assert found.tolist() == [[[[3.0, pytest.approx(-0.02)], [0.0, -5.0]]]]


def test_a_fresh_block_with_a_stride_averages():
    """Two rows, four columns; the stride of 2 along columns alone joins neighbours in a row."""
    images = torch.tensor([[[[1.0, 3.0, -4.0, -8.0], [0.0, 5.0, 2.0, 2.0]]]])
    found = fresh(1, 1, (1, 3), (1, 2))(images)
    assert found.flatten(1).tolist() == [[2.0, pytest.approx(-0.06), 2.5, 2.0]]


def test_a_fresh_block_with_other_features_mixes_channels():
    """Weights 1 and -1: the difference of the channels, 0 and 4, is -1 and 1 when it is normalised."""
    block = fresh(2, 1, (3, 3, 3), (1, 1, 1))
    with torch.no_grad():
        block.skip[0][0].weight.copy_(torch.tensor([1.0, -1.0]).reshape(1, 2, 1, 1, 1))
    images = torch.tensor([[5.0, 9.0], [5.0, 5.0]]).reshape(1, 2, 1, 1, 2)
    root = math.sqrt(4 / (4 + 1e-5))  # of variance by variance + epsilon
    assert block(images).flatten().tolist() == pytest.approx([-0.01 * root, root])


@pytest.mark.parametrize(
    ("channels", "features", "stride", "parts"),
    [
        pytest.param(4, 4, (1, 1, 1), [], id="nothing changes"),
        pytest.param(4, 4, (1, 2, 2), ["AvgPool3d"], id="resolution"),
        pytest.param(4, 6, (1, 1, 1), ["Sequential"], id="features"),
        pytest.param(4, 6, (2, 2, 2), ["AvgPool3d", "Sequential"], id="both"),
    ],
)
def test_what_the_skip_is_made_of(channels, features, stride, parts):
    block = fresh(channels, features, (3, 3, 3), stride)
    assert [type(part).__name__ for part in block.skip] == parts
    assert not any(name.startswith("skip") and "0.bias" in name for name, _ in block.named_parameters())


def test_only_the_last_norm_of_a_block_is_zero():
    block = fresh(4, 6, (3, 3), (2, 2))
    zero = {name for name, parameter in block.named_parameters() if not parameter.any()}
    assert zero == {
        *("second.1.weight", "second.1.bias"),
        *("first.0.bias", "second.0.bias", "first.1.bias", "skip.1.1.bias"),  # as in every convolution and norm
    }
    assert (block.first[1].weight == 1).all() and (block.skip[1][1].weight == 1).all()


def test_a_fresh_block_wakes_up():
    """At first only the last norm learns; with it away from 0, the convolutions learn, too."""
    block = fresh(2, 2, (3, 3), (1, 1)).double()
    images, target = torch.randn(2, 1, 2, 6, 6, dtype=torch.float64)
    optimizer = torch.optim.SGD(block.parameters(), lr=0.1)
    for learning in (False, True):
        optimizer.zero_grad()
        ((block(images) - target) ** 2).sum().backward()
        assert block.second[1].weight.grad.abs().min() > 0
        assert block.first[0].weight.grad.any() == block.second[0].weight.grad.any() == learning
        optimizer.step()


@pytest.mark.parametrize(
    ("channels", "features", "kernel", "stride", "size"),
    [
        pytest.param(3, 3, (3, 3), (1, 1), (5, 7), id="2-D"),
        pytest.param(2, 5, (3, 3), (2, 2), (6, 8), id="2-D, all changes"),
        pytest.param(3, 3, (1, 3, 3), (1, 2, 2), (5, 6, 4), id="thick slices"),
        pytest.param(2, 4, (3, 1, 5), (3, 1, 2), (6, 3, 6), id="odd kernels and strides"),
    ],
)
def test_against_a_formula(channels, features, kernel, stride, size):
    block = fresh(channels, features, kernel, stride).double()
    with torch.no_grad():  # so that norms and biases have something to do
        for parameter in block.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    images = torch.randn(2, channels, *size, dtype=torch.float64)
    torch.testing.assert_close(block(images), written_out(block, images, kernel, stride), rtol=1e-9, atol=1e-9)


def written_out(block, x, kernel, stride):
    """Every step a formula; the weights are taken from the block by name."""
    weights, dimensions = dict(block.named_parameters()), len(stride)
    axes, shape = tuple(range(2, 2 + dimensions)), (1, -1, *(1,) * dimensions)
    convolve = (functional.conv2d, functional.conv3d)[dimensions - 2]

    def normed(x, name, stride, kernel):
        x = convolve(x, weights[f"{name}.0.weight"], weights.get(f"{name}.0.bias"), stride, [k // 2 for k in kernel])
        x = (x - x.mean(axes, keepdim=True)) / torch.sqrt(x.var(axes, keepdim=True, unbiased=False) + 1e-5)
        return x * weights[f"{name}.1.weight"].reshape(shape) + weights[f"{name}.1.bias"].reshape(shape)

    def leaky(x):
        return torch.where(x > 0, x, 0.01 * x)

    added = normed(leaky(normed(x, "first", stride, kernel)), "second", 1, kernel)
    for axis, step in zip(axes, stride, strict=True):  # the mean of `step` neighbours, axis after axis
        x = x.unflatten(axis, (-1, step)).mean(axis + 1)
    for name in sorted({name.rsplit(".", 2)[0] for name in weights if name.startswith("skip")}):
        x = normed(x, name, 1, (1,) * dimensions)
    return leaky(added + x)
