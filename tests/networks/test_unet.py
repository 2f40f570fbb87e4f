"""The U-Net against shapes and sums worked out by hand, and against a second U-Net in plain functions."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from autoseg.networks import build_network, count_parameters
from autoseg.plan.network import PlainUNet


def plain(features, kernels, strides, encoder=2, decoder=2, **more):
    depth = len(features)
    return PlainUNet(
        features=features,
        kernels=kernels,
        strides=strides,
        encoder_convolutions=(encoder,) * depth,
        decoder_convolutions=(decoder,) * (depth - 1),
        **more,
    )


FLAT = plain((4, 6, 8), ((3, 3),) * 3, ((1, 1), (2, 2), (2, 2)))
ISOTROPIC = plain((4, 6, 8, 8), ((3, 3, 3),) * 4, ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2)))
THICK_SLICES = plain((4, 6, 8), ((1, 3, 3), (1, 3, 3), (3, 3, 3)), ((1, 1, 1), (1, 2, 2), (2, 2, 2)))
ODD = plain((4, 6), ((3, 1, 5), (5, 3, 3)), ((1, 1, 1), (3, 1, 2)), encoder=1, decoder=3)


@pytest.mark.parametrize(
    ("plan", "patch", "resolutions"),
    [
        pytest.param(FLAT, (16, 24), [(16, 24)], id="2-D"),
        pytest.param(ISOTROPIC, (16, 16, 24), [(16, 16, 24), (8, 8, 12)], id="3-D"),
        pytest.param(THICK_SLICES, (6, 16, 16), [(6, 16, 16)], id="thick slices"),
        pytest.param(ODD, (6, 5, 8), [(6, 5, 8)], id="odd kernels and strides, one decoder stage"),
    ],
)
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 2), (3, 5)])
def test_shapes(plan, patch, resolutions, inputs, outputs):
    """While training there is one output a decoder stage, but for the lowest, which no loss looks at."""
    network = build_network(plan, inputs, outputs)
    images = torch.randn(2, inputs, *patch)
    network.train()
    assert [tuple(logits.shape) for logits in network(images)] == [(2, outputs, *size) for size in resolutions]
    network.eval()
    assert [tuple(logits.shape) for logits in network(images)] == [(2, outputs, *patch)]


def test_without_deep_supervision_there_is_one_output():
    network = build_network(ISOTROPIC.model_copy(update={"deep_supervision": False}), 1, 2).train()
    assert len(network(torch.randn(1, 1, 16, 16, 16))) == 1


@pytest.mark.parametrize(
    ("plan", "patch", "deep", "idle"),
    [
        (FLAT, (8, 8), True, 1),
        (FLAT, (8, 8), False, 1),
        (ISOTROPIC, (8, 8, 8), True, 1),
        (ISOTROPIC, (8, 8, 8), False, 2),
        (ODD, (6, 5, 8), True, 0),
        (ODD, (6, 5, 8), False, 0),
    ],
)
def test_all_but_idle_heads_learn(plan, patch, deep, idle):
    network = build_network(plan.model_copy(update={"deep_supervision": deep}), 1, 2).train()
    sum(logits.square().sum() for logits in network(torch.randn(2, 1, *patch))).backward()
    without = [name for name, weights in network.named_parameters() if weights.grad is None]
    assert without == [f"heads.{place}.{part}" for place in range(idle) for part in ("weight", "bias")]
    assert len(network.idle_heads) == idle
    assert not [weights for weights in network.idle_heads.parameters() if weights.grad is not None]


def test_parameters_of_a_small_network_by_hand():
    """Two stages of 4 and 8 features, kernels 3 × 3, two convolutions each; 2 channels in, 3 out."""
    convolution = {  # weights + bias, and two numbers a feature for the norm
        "encoder 0": (2 * 9 * 4 + 4) + 2 * 4 + (4 * 9 * 4 + 4) + 2 * 4,
        "encoder 1": (4 * 9 * 8 + 8) + 2 * 8 + (8 * 9 * 8 + 8) + 2 * 8,
        "up": 8 * 2 * 2 * 4 + 4,
        "decoder": ((4 + 4) * 9 * 4 + 4) + 2 * 4 + (4 * 9 * 4 + 4) + 2 * 4,
        "head": 4 * 3 + 3,
    }
    network = build_network(plain((4, 8), ((3, 3), (3, 3)), ((1, 1), (2, 2))), 2, 3)
    assert count_parameters(network) == sum(convolution.values()) == 1755
    network.heads[0].bias.requires_grad_(False)
    assert count_parameters(network) == 1755 - 3


def test_as_many_parameters_as_the_published_network():
    """nnU-Net's 3-D network for 128³ patches, 1 channel and 2 classes: 6 stages, 31.2 million in all.

    Source: a table of the architecture in Isensee et al. 2021, doi:10.1038/s41592-020-01008-z.
    """
    features = (32, 64, 128, 256, 320, 320)
    expected, channels = 0, 1
    for count in features:  # encoder
        expected += 27 * channels * count + 3 * count + 27 * count * count + 3 * count
        channels = count
    for here, below in zip(features[-2::-1], features[:0:-1], strict=True):  # decoder, from below
        expected += 8 * below * here + here
        expected += 27 * 2 * here * here + 3 * here + 27 * here * here + 3 * here
        expected += 2 * here + 2
    plan = plain(features, ((3, 3, 3),) * 6, ((1, 1, 1),) + ((2, 2, 2),) * 5)
    with torch.device("meta"):
        found = count_parameters(build_network(plan, 1, 2))
    assert found == expected
    assert 31.1e6 < found < 31.3e6


@pytest.mark.parametrize(("plan", "patch"), [(FLAT, (16, 24)), (ISOTROPIC, (16, 16, 8)), (THICK_SLICES, (4, 8, 12))])
def test_against_a_network_written_out(plan, patch):
    """In float64, from the same weights."""
    network = build_network(plan, 2, 3).double().train()
    with torch.no_grad():  # so that norms and biases have something to do
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, dtype=torch.float64))
    images = torch.randn(2, 2, *patch, dtype=torch.float64)
    found = network(images)
    expected = written_out(dict(network.named_parameters()), plan, images)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(network.eval()(images)[0], expected[0], rtol=1e-9, atol=1e-9)


def written_out(weights, plan, images):
    """Encoder, decoder, heads; every step a formula."""
    dimensions = images.dim() - 2
    convolve = (functional.conv2d, functional.conv3d)[dimensions - 2]
    transpose = (functional.conv_transpose2d, functional.conv_transpose3d)[dimensions - 2]
    axes = tuple(range(2, images.dim()))

    def block(x, name, kernel, stride):
        x = convolve(x, weights[f"{name}.0.weight"], weights[f"{name}.0.bias"], stride, [k // 2 for k in kernel])
        centred = x - x.mean(axes, keepdim=True)
        x = centred / torch.sqrt((centred**2).mean(axes, keepdim=True) + 1e-5)
        shape = (1, -1, *(1,) * dimensions)
        x = x * weights[f"{name}.1.weight"].reshape(shape) + weights[f"{name}.1.bias"].reshape(shape)
        return torch.where(x > 0, x, 0.01 * x)

    x, skips = images, []
    for stage, (kernel, stride) in enumerate(zip(plan.kernels, plan.strides, strict=True)):
        x = block(x, f"encoder.{stage}.0", kernel, stride)
        x = block(x, f"encoder.{stage}.1", kernel, 1)
        skips.append(x)
    outputs = []
    depth = len(plan.features)
    for step, stage in enumerate(range(depth - 2, -1, -1)):
        stride = plan.strides[stage + 1]
        x = transpose(x, weights[f"upsampling.{step}.weight"], weights[f"upsampling.{step}.bias"], stride)
        x = torch.cat((x, skips[stage]), 1)
        for convolution in (0, 1):
            x = block(x, f"decoder.{step}.{convolution}", plan.kernels[stage], 1)
        outputs.insert(0, convolve(x, weights[f"heads.{step}.weight"], weights[f"heads.{step}.bias"]))
    return outputs[:-1]
