"""Both kinds of U-Net: what goes in and comes out, what learns, and how many parameters they have."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from autoseg.networks import build_network, count_parameters
from autoseg.networks.blocks import ResidualBlock
from autoseg.networks.instance_norm import InstanceNorm
from autoseg.plan.network import PlainUNet, ResidualEncoderUNet

KINDS = ["plain_unet", "residual_encoder_unet"]
BLOCKS = (1, 3, 4, 6, 6, 6, 6, 6)  # nnU-Net's, from full resolution down


def unet(kind, features, kernels, strides, blocks=BLOCKS, **more):
    """As nnU-Net fills it in: two convolutions everywhere, or rows of blocks and one convolution on the way up."""
    depth = len(features)
    common = {"features": features, "kernels": kernels, "strides": strides, **more}
    if kind == "plain_unet":
        return PlainUNet(**common, encoder_convolutions=(2,) * depth, decoder_convolutions=(2,) * (depth - 1))
    return ResidualEncoderUNet(**common, encoder_blocks=blocks[:depth], decoder_convolutions=(1,) * (depth - 1))


CUBES = ((32, 64, 128, 256, 320, 320), ((3, 3, 3),) * 6, ((1, 1, 1),) + ((2, 2, 2),) * 5)
THICK_SLICES = (
    (32, 64, 128, 256, 320, 320),
    ((1, 3, 3),) * 2 + ((3, 3, 3),) * 4,
    ((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2)),
)
FLAT = ((32, 64, 128, 256, 512, 512, 512, 512), ((3, 3),) * 8, ((1, 1),) + ((2, 2),) * 7)
NARROW_SLICES = ((32, 64, 128, 256, 512), ((3, 3),) * 5, ((1, 1), (1, 2), (2, 2), (2, 2), (2, 1)))
ODD = ((8, 24, 24), ((1, 3, 5), (3, 3, 3), (3, 3, 3)), ((1, 1, 1), (1, 2, 3), (3, 1, 2)))


@pytest.mark.parametrize(
    ("shape", "inputs", "outputs", "plain", "residual"),
    [
        pytest.param(CUBES, 1, 2, 31_195_594, 102_349_770, id="3-D"),
        pytest.param(THICK_SLICES, 4, 3, 30_340_623, 101_273_615, id="thick slices"),
        pytest.param(FLAT, 1, 3, 46_326_581, 140_019_061, id="2-D"),
        pytest.param(NARROW_SLICES, 2, 5, 7_501_844, 37_451_860, id="narrow slices"),
        pytest.param(ODD, 3, 4, 108_000, 248_856, id="odd kernels and strides"),
    ],
)
def test_as_many_parameters_as_nnunet(shape, inputs, outputs, plain, residual):
    """PlainConvUNet and ResidualEncoderUNet of dynamic-network-architectures 0.4.4, the package nnU-Net builds with.

    Its counts: sum(p.numel() for p in network.parameters()), with conv_bias, affine instance norm,
    2 convolutions a stage, or BLOCKS and 1 convolution a decoder stage.
    """
    with torch.device("meta"):
        found = [count_parameters(build_network(unet(kind, *shape), inputs, outputs)) for kind in KINDS]
    assert found == [plain, residual]


def test_parameters_of_a_small_residual_network_by_hand():
    """Two stages of 4 and 8 features with 1 and 2 blocks, kernels 3 × 3; 2 channels in, 3 out."""
    by_hand = {  # weights + bias, and two numbers a feature for the norm
        "stem": (2 * 9 * 4 + 4) + 2 * 4,
        "stage 0": 2 * ((4 * 9 * 4 + 4) + 2 * 4),
        "stage 1, first block": (4 * 9 * 8 + 8) + 2 * 8 + (8 * 9 * 8 + 8) + 2 * 8 + (4 * 8 + 2 * 8),
        "stage 1, second block": 2 * ((8 * 9 * 8 + 8) + 2 * 8),
        "up": 8 * 2 * 2 * 4 + 4,
        "decoder": ((4 + 4) * 9 * 4 + 4) + 2 * 4,
        "head": 4 * 3 + 3,
    }
    plan = unet("residual_encoder_unet", (4, 8), ((3, 3), (3, 3)), ((1, 1), (2, 2)), blocks=(1, 2))
    assert count_parameters(build_network(plan, 2, 3)) == sum(by_hand.values()) == 3003


@st.composite
def shapes(draw):
    """A U-Net of any kind, 2 to 5 stages deep, and a patch that it divides and that leaves more than one voxel."""
    dimensions, depth = draw(st.sampled_from([2, 3])), draw(st.integers(2, 5))
    axes = st.tuples(*[st.sampled_from([1, 2])] * dimensions)
    strides = ((1,) * dimensions, *(draw(axes) for _ in range(depth - 1)))
    kernels = tuple(draw(st.tuples(*[st.sampled_from([1, 3])] * dimensions)) for _ in range(depth))
    features = tuple(draw(st.integers(1, 4)) for _ in range(depth))
    blocks = tuple(draw(st.integers(1, 2)) for _ in range(depth))
    deep = draw(st.booleans())
    plan = unet(draw(st.sampled_from(KINDS)), features, kernels, strides, blocks, deep_supervision=deep)
    return plan, tuple(draw(st.integers(2, 3)) * by for by in plan.divisor)


@given(shapes())
@settings(max_examples=60, deadline=None)
def test_shapes(case):
    """One output a decoder stage while training, but for the lowest; one output otherwise; all finite."""
    plan, patch = case
    network = build_network(plan, 2, 3)
    images = torch.randn(1, 2, *patch)
    sizes = [patch]
    for stride in plan.strides[1:-2] if plan.deep_supervision else ():
        sizes.append(tuple(size // by for size, by in zip(sizes[-1], stride, strict=True)))
    logits = network.train()(images)
    assert [tuple(level.shape) for level in logits] == [(1, 3, *size) for size in sizes]
    assert all(level.isfinite().all() for level in logits)
    [only] = network.eval()(images)
    torch.testing.assert_close(only, logits[0])


SMALL = [
    pytest.param((4, 6), ((3, 3),) * 2, ((1, 1), (2, 2)), (8, 8), id="2-D, two stages"),
    pytest.param((4, 6, 8, 8), ((3, 3),) * 4, ((1, 1), (1, 2), (2, 2), (2, 1)), (8, 8), id="2-D, four stages"),
    pytest.param(
        (4, 6, 6), ((1, 3, 3), (3, 3, 3), (3, 3, 3)), ((1, 1, 1), (1, 2, 2), (2, 2, 2)), (4, 8, 8), id="3-D, three"
    ),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("features", "kernels", "strides", "patch"), SMALL)
def test_everything_learns(kind, features, kernels, strides, patch):
    """Except the head of the lowest resolution, and biases that the norm after them takes away."""
    network = build_network(unet(kind, features, kernels, strides), 2, 3).double().train()
    with torch.no_grad():  # fresh residual blocks add nothing; once they do, all of them learns
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    logits = network(torch.randn(2, 2, *patch, dtype=torch.float64))
    sum((level * torch.randn_like(level)).sum() for level in logits).backward()
    idle = {
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or parameter.grad.abs().max() < 1e-9
    }
    before_norms = {n for n, _ in network.named_parameters() if re.fullmatch(r"(encoder|decoder)\..*\.0\.bias", n)}
    lowest = {"heads.0.weight", "heads.0.bias"} if len(features) > 2 else set()
    assert idle == before_norms | lowest


@pytest.mark.parametrize(("features", "kernels", "strides", "patch"), SMALL)
def test_the_residual_encoder_stage_by_stage(features, kernels, strides, patch):
    """The stem, then as many blocks as the plan says; the first of a stage has its stride."""
    plan = unet("residual_encoder_unet", features, kernels, strides)
    network = build_network(plan, 2, 3)
    stem, *blocks = network.encoder[0]
    assert stem[0][0].kernel_size == kernels[0] and set(stem[0][0].stride) == {1}
    assert [type(part).__name__ for part in stem[0]] == [
        f"Conv{len(patch)}d",
        "InstanceNorm",
        "LeakyReLU",
    ]
    x = torch.randn(1, 2, *patch)
    size = patch
    for stage, row in enumerate([blocks, *network.encoder[1:]]):
        assert [type(block) for block in row] == [ResidualBlock] * plan.encoder_blocks[stage]
        assert [block.first[0].stride == strides[stage] for block in row] == [
            place == 0 or set(strides[stage]) == {1} for place in range(len(row))
        ]
        x = network.encoder[stage](x)
        size = tuple(n // by for n, by in zip(size, strides[stage], strict=True))
        assert x.shape == (1, features[stage], *size)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_network_is_he_initialised(kind):
    """Biases 0, norms 1 and 0, but for the last norm of each residual block."""
    network = build_network(unet(kind, (4, 8), ((3, 3),) * 2, ((1, 1), (2, 2))), 1, 2)
    last = {block.second[1] for block in network.modules() if isinstance(block, ResidualBlock)}
    for module in network.modules():
        if isinstance(module, InstanceNorm):
            assert (module.weight == (module not in last)).all() and not module.bias.any()
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            assert module.weight.all() and (module.bias is None or not module.bias.any())
    assert len(last) == (1 + 3 if kind == "residual_encoder_unet" else 0)


def test_the_seed_decides_the_weights_of_a_residual_network():
    plan = unet("residual_encoder_unet", (4, 8), ((3, 3),) * 2, ((1, 1), (2, 2)))
    first, again, other = (build_network(plan, 1, 2, seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["encoder.0.1.first.0.weight"], other["encoder.0.1.first.0.weight"])


@pytest.mark.parametrize("kind", KINDS)
def test_in_bfloat16(kind):
    """Under autocast, as it is trained where the hardware can: finite, and near what float32 gives."""
    network = build_network(unet(kind, *ODD), 1, 2).train()
    images = torch.randn(1, 1, 6, 4, 12)
    exact = network(images)[0]
    with torch.autocast("cpu", torch.bfloat16):
        found = network(images)[0]
    assert torch.nn.functional.cosine_similarity(found.float().flatten(), exact.flatten(), dim=0) > 0.99
    found.float().square().sum().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)
