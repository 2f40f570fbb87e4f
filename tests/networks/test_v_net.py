"""The V-Net against sums by hand and its first stage written out."""

from __future__ import annotations

import torch
from torch.nn import functional

from autoseg.networks import build_network, count_parameters
from autoseg.networks.v_net import ConvolvedSum
from autoseg.plan.network import BatchNorm, NoNorm, VNet


def v_net(features, encoder, decoder, kernel=5, **more):
    depth = len(features)
    return VNet(
        features=features,
        kernels=((kernel,) * 3,) * depth,
        strides=((1,) * 3, *[(2,) * 3] * (depth - 1)),
        encoder_convolutions=encoder,
        decoder_convolutions=decoder,
        **more,
    )


def test_parameters_of_the_published_network():
    """Milletari et al. 2016, figure 2: one to three 5³ convolutions a stage, 2³ between stages, and PReLUs.

    Stages by features: 16, 32, 64, 128, 256 down, 256, 128, 64, 32 up, the second half of what a stage up sees being
    handed over.
    """
    expected = 0
    for features, channels, count in ((16, 1, 1), (32, 32, 2), (64, 64, 3), (128, 128, 3), (256, 256, 3)):
        for _ in range(count):
            expected += 125 * channels * features + features + features  # weights, bias, PReLU
            channels = features
    for features in (32, 64, 128, 256):
        expected += 8 * features // 2 * features + features + features
    below = 256
    for features, count in ((256, 3), (128, 3), (64, 2), (32, 1)):
        expected += 8 * below * features // 2 + features // 2 + features // 2
        expected += count * (125 * features * features + features + features)
        below = features
    expected += 32 * 2 + 2
    with torch.device("meta"):
        network = build_network(v_net((16, 32, 64, 128, 256), (1, 2, 3, 3, 3), (1, 2, 3, 3)), 1, 2)
    assert count_parameters(network) == expected == 65_175_314


def test_shapes_and_gradients():
    for norm in (NoNorm(), BatchNorm()):
        network = build_network(v_net((2, 4, 6), (1, 2, 2), (1, 2), 3, norm=norm, deep_supervision=True), 3, 2).train()
        outputs = network(torch.randn(2, 3, 8, 8, 12))
        assert [tuple(logits.shape) for logits in outputs] == [(2, 2, 8, 8, 12)]
        outputs[0].square().sum().backward()
        assert all(weights.grad is not None for weights in network.parameters())


def test_the_first_stage_adds_the_image_to_every_feature():
    stage = ConvolvedSum(1, 4, (5, 5, 5), 1, NoNorm(), "prelu")
    torch.nn.init.constant_(stage.activation.weight, 0.3)
    x = torch.randn(1, 1, 6, 6, 6)
    convolution = stage.row[0]
    with torch.no_grad():
        found = functional.conv3d(x, convolution.weight, convolution.bias, padding=2) + x
        torch.testing.assert_close(stage(x), torch.where(found > 0, found, 0.3 * found))


def test_fewer_channels_are_repeated_in_turn():
    stage = ConvolvedSum(3, 4, (1, 1), 1, NoNorm(), "relu")
    torch.nn.init.zeros_(stage.row[0].weight)
    torch.nn.init.zeros_(stage.row[0].bias)
    image = torch.tensor([1.0, 2.0, 3.0])[None, :, None, None]
    assert stage(image).flatten().tolist() == [1.0, 2.0, 3.0, 1.0]
