"""U-Nets of chosen blocks against the U-Net there was, sums by hand, and blocks written out in plain functions."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from autoseg.networks import build_network, count_parameters
from autoseg.networks.block_unet import PreActivatedSum, ResidualSum
from autoseg.networks.layers import AttentionGate, Interpolated, SqueezeExcitation
from autoseg.plan.network import BatchNorm, BlockUNet, NoNorm, PlainUNet

LEVELS = {
    "features": (4, 6, 8),
    "kernels": ((1, 3, 3), (3, 3, 3), (3, 3, 3)),
    "strides": ((1, 1, 1), (1, 2, 2), (2, 2, 2)),
}


def blocks(**more):
    return BlockUNet(**LEVELS, **{"encoder_blocks": (1, 2, 1), "decoder_blocks": (2, 1)} | more)


def built(**more):
    return build_network(blocks(**more), 2, 3)


def images():
    return torch.randn(2, 2, 4, 8, 8, generator=torch.Generator().manual_seed(1))


def kinds_of(network, kind):
    return [module for module in network.modules() if isinstance(module, kind)]


def normed(x):
    axes = tuple(range(2, x.dim()))
    return (x - x.mean(axes, keepdim=True)) / (x.var(axes, unbiased=False, keepdim=True) + 1e-5).sqrt()


def activated(x):
    return functional.leaky_relu(x, 0.01)


def convolved(x, layer, stride=1):
    padding = [(size - 1) // 2 for size in layer.weight.shape[2:]]
    return functional.conv3d(x, layer.weight, layer.bias, stride, padding)


@pytest.mark.parametrize(
    "more",
    [
        {"encoder_block": "plain"},
        {},
        {"decoder_block": "residual"},
        {"encoder_block": "pre_activation", "decoder_block": "pre_activation"},
        {"norm": {"kind": "batch"}, "dropout": 0.4, "downsampling": "max_pool", "upsampling": "interpolated"},
        {"encoder_block": "plain", "norm": {"kind": "batch"}, "activation": "relu", "activation_first": True},
        {"encoder_block": "pre_activation", "norm": {"kind": "none"}, "activation": "prelu"},
        {"attention_gates": True, "squeeze_excitation": 2},
        {"attention_gates": True, "upsampling": "interpolated", "encoder_block": "plain", "squeeze_excitation": 16},
    ],
    ids=str,
)
def test_every_weight_learns(more):
    """But for biases that the next norm takes away, and what a ReLU of squeeze-and-excitation happens to hide."""
    network = built(deep_supervision=True, **more).train()
    outputs = network(images())
    assert [tuple(logits.shape) for logits in outputs] == [(2, 3, 4, 8, 8)]
    outputs[0].square().sum().backward()
    learning = [(name, one.grad) for name, one in network.named_parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for _, gradient in learning)
    idle = [name for name, gradient in learning if not gradient.any()]
    assert all(name.endswith(("bias", "squeeze.weight", "excite.weight")) for name in idle)
    assert [tuple(logits.shape) for logits in network.eval()(images())] == [(2, 3, 4, 8, 8)]


def test_deep_supervision_gives_an_output_a_stage_but_the_lowest():
    plan = BlockUNet(
        features=(2, 4, 6, 8),
        kernels=((3, 3),) * 4,
        strides=((1, 1), (2, 2), (2, 2), (2, 2)),
        encoder_blocks=(1,) * 4,
        decoder_blocks=(1,) * 3,
        deep_supervision=True,
    )
    outputs = build_network(plan, 1, 2).train()(torch.randn(2, 1, 32, 32))
    assert [tuple(logits.shape[2:]) for logits in outputs] == [(32, 32), (16, 16)]


def test_plain_blocks_are_the_plain_unet():
    """With the same weights, the same network; `PlainUNet` keeps its upsampling apart from its convolutions."""
    plain = build_network(
        PlainUNet(**LEVELS, encoder_convolutions=(1, 2, 1), decoder_convolutions=(2, 1), deep_supervision=False), 2, 3
    )
    network = built(encoder_block="plain")
    theirs = [*plain.encoder.parameters()]
    for up, stage in zip(plain.upsampling, plain.decoder, strict=True):
        theirs += [*up.parameters(), *stage.parameters()]
    theirs += [*plain.heads[-1].parameters()]
    with torch.no_grad():
        for mine, given in zip(network.parameters(), theirs, strict=True):
            mine.copy_(given)
    torch.testing.assert_close(network.eval()(images()), plain.eval()(images()))


def test_a_residual_block_written_out():
    """He et al. 2016: two convolutions, added to what came in, brought to size by a strided 1 × 1 convolution."""
    block = kinds_of(built(), ResidualSum)[1]  # the first of the second stage, which halves y and x
    x = torch.randn(2, 4, 4, 8, 8)
    first, second, skip = block.row[0], block.row[3], block.skip[0]
    found = normed(convolved(activated(normed(convolved(x, first, (1, 2, 2)))), second))
    with torch.no_grad():
        expected = activated(found + normed(convolved(x, skip, (1, 2, 2))))
        torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-4)
    assert not len(kinds_of(built(), ResidualSum)[0].skip)  # where nothing changes, nothing is done


def test_a_pre_activation_block_written_out():
    """He et al. 2016b: norm, activation, convolution, twice; nothing after the sum."""
    network = built(encoder_block="pre_activation")
    first, second, third, _ = kinds_of(network, PreActivatedSum)
    x = torch.randn(2, 6, 4, 4, 4)
    with torch.no_grad():
        before = activated(normed(x))
        found = convolved(activated(normed(convolved(before, third.row[0]))), third.row[3])
        torch.testing.assert_close(third(x), x + found, rtol=1e-4, atol=1e-4)
        x = torch.randn(2, 4, 4, 8, 8)  # what the stage before hands on was activated there, once
        found = convolved(activated(normed(convolved(x, second.row[0], (1, 2, 2)))), second.row[3])
        projected = convolved(x, second.skip[0], (1, 2, 2))
        torch.testing.assert_close(second(x), projected + found, rtol=1e-4, atol=1e-4)
    assert not len(first.before) and not len(second.before)


def test_norm_and_activation_come_before_convolutions_only_in_pre_activation_blocks():
    x = images()
    for block, lowest in (("residual", -0.1), ("pre_activation", -0.1)):
        stage = built(encoder_block=block).encoder[0]
        assert float(stage(x).detach().min()) > lowest  # what is handed over is activated in both
    raw = kinds_of(built(encoder_block="pre_activation"), PreActivatedSum)[0](torch.randn(2, 4, 4, 8, 8))
    assert float(raw.detach().min()) < -0.5


def test_what_comes_before_a_sum_is_left_as_it_is_without_a_norm():
    """An activation in place would change what is added, where no norm makes a copy first."""
    block = kinds_of(built(encoder_block="pre_activation", norm=NoNorm(), activation="relu"), PreActivatedSum)[2]
    x = torch.randn(2, 6, 4, 4, 4)
    given = x.clone()
    block(x)
    assert torch.equal(x, given)


def test_parameters_of_the_recursive_unet():
    """20 · 2^l features, six levels, bilinear upsampling, two sub-blocks a level: the paper's table says 12 million."""
    features = [20 * 2**level for level in range(6)]
    plan = BlockUNet(
        features=features,
        kernels=((3, 3),) * 6,
        strides=((1, 1), *[(2, 2)] * 5),
        encoder_blocks=(2,) * 6,
        decoder_blocks=(2,) * 5,
        encoder_block="plain",
        upsampling="interpolated",
    )
    expected, channels = 0, 1
    for count in features:
        expected += 9 * channels * count + 3 * count + 9 * count * count + 3 * count
        channels = count
    for here, below in zip(features[-2::-1], features[:0:-1], strict=True):
        expected += 9 * (here + below) * here + 3 * here + 9 * here * here + 3 * here
    expected += 3 * 20 + 3
    assert count_parameters(build_network(plan, 1, 3)) == expected
    assert round(expected / 1e6) == 12


def test_pooling_takes_the_largest_and_leaves_the_stride_to_it():
    stage = built(encoder_block="plain", downsampling="max_pool").encoder[1]
    x = images().repeat(1, 2, 1, 1, 1)
    pooled = x.reshape(2, 4, 4, 4, 2, 4, 2).amax((4, 6))
    torch.testing.assert_close(stage(x), stage[1:](pooled))
    assert stage[1].stride == (1, 1, 1)


def test_interpolation_is_halfway_between_voxels():
    """Half-pixel centres: at twice the resolution, values lie a quarter and three quarters of the way."""
    x = torch.tensor([[[[0.0, 4.0], [0.0, 4.0]]]])
    assert Interpolated((1, 2))(x)[0, 0, 0].tolist() == [0.0, 1.0, 3.0, 4.0]
    assert Interpolated((1, 2, 2))(torch.zeros(1, 1, 3, 2, 2)).shape == (1, 1, 3, 4, 4)


def test_running_statistics_follow_the_momentum():
    network = built(encoder_block="plain", norm=BatchNorm(momentum=0.25)).train()
    norm = network.encoder[0][1]
    with torch.no_grad():
        found = convolved(images(), network.encoder[0][0])
        network(images())
    torch.testing.assert_close(norm.running_mean, 0.25 * found.mean((0, 2, 3, 4)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        norm.running_var, 0.75 + 0.25 * found.transpose(0, 1).flatten(1).var(1), rtol=1e-4, atol=1e-5
    )
    before = norm.running_mean.clone()
    network.eval()(images())
    assert torch.equal(norm.running_mean, before)


def test_dropout_leaves_out_whole_channels_while_training():
    network = built(encoder_block="plain", encoder_blocks=(1, 1, 1), dropout=0.5).train()
    torch.manual_seed(0)
    found = network.encoder[0](images()).detach()
    lost = [bool((channel == 0).all()) for sample in found for channel in sample]
    assert 0 < sum(lost) < len(lost)
    assert all(lost[i] or (channel != 0).all() for i, channel in enumerate(found.flatten(0, 1)))
    first, again = (network.eval()(images())[0] for _ in range(2))
    assert torch.equal(first, again)


def test_the_activation_may_come_before_the_norm():
    """Then what leaves a block has mean 0, not its activation's sign."""
    found = built(encoder_block="plain", activation="relu", activation_first=True).encoder[0](images()).detach()
    torch.testing.assert_close(found.mean((2, 3, 4)), torch.zeros(2, 4), rtol=0, atol=1e-5)
    found = built(encoder_block="plain", activation="relu").encoder[0](images()).detach()
    assert float(found.min()) == 0 and float(found.mean()) > 0.1


def test_squeeze_and_excitation_written_out():
    layer = SqueezeExcitation(4, 2, 3)
    x = torch.randn(2, 4, 2, 3, 4)
    with torch.no_grad():
        means = x.mean((2, 3, 4))
        hidden = (means @ layer.squeeze.weight.flatten(1).T + layer.squeeze.bias).relu()
        weights = (hidden @ layer.excite.weight.flatten(1).T + layer.excite.bias).sigmoid()
        torch.testing.assert_close(layer(x), x * weights[:, :, None, None, None])
    assert count_parameters(layer) == 4 * 2 + 2 + 2 * 4 + 4


def test_an_attention_gate_written_out():
    gate = AttentionGate(4, 6, (2, 2))
    skip, below = torch.randn(1, 4, 4, 6), torch.randn(1, 6, 2, 3)
    with torch.no_grad():
        of_skip = torch.einsum("bcyixj,hcij->bhyx", skip.reshape(1, 4, 2, 2, 3, 2), gate.of_skip.weight)
        of_below = torch.einsum("bcyx,hc->bhyx", below, gate.of_below.weight[:, :, 0, 0])
        compared = (of_skip + of_below + gate.of_below.bias[:, None, None]).relu()
        weights = torch.einsum("bhyx,h->byx", compared, gate.weigh.weight[0, :, 0, 0]) + gate.weigh.bias
        weights = functional.interpolate(weights.sigmoid()[:, None], (4, 6), mode="bilinear")
        torch.testing.assert_close(gate(skip, below), skip * weights)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"decoder_blocks": (1, 1, 1)}, "decoder_blocks has 3 entries; with 3 levels, as many as features, it needs 2"),
        ({"norm": {"kind": "layer"}}, "does not match any of the expected tags"),
        ({"dropout": 1.0}, "less than 1"),
    ],
)
def test_networks_that_cannot_be(more, message):
    with pytest.raises(ValueError, match=message):
        blocks(**more)
