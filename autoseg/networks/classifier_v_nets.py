"""Encoders that were made to classify photographs, in 2-D or 3-D, below the decoder of a V-Net.

Comes in: the network part of a plan. Goes out: a network.

    encoder   image → ½ stem → ¼ → ⅛ → ⅟₁₆ → ⅟₃₂        features at five resolutions
    decoder     1  ←  ½  ←  ¼  ←  ⅛  ←  ⅟₁₆  ←─┘         each adds what its convolutions find to what came up

Source: Huang et al. 2017, doi:10.1109/CVPR.2017.243; Xie et al. 2017, doi:10.1109/CVPR.2017.634; Hu et al. 2018,
doi:10.1109/CVPR.2018.00745; Milletari et al. 2016, doi:10.1109/3DV.2016.79.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from autoseg.networks.block_unet import MAX_POOL, ResidualSum
from autoseg.networks.blocks import AVERAGE_POOL
from autoseg.networks.joined import Joined, JoinedNetwork
from autoseg.networks.layers import SqueezeExcitation, activated_norm, convolution, norm_layers, pointwise
from autoseg.networks.v_net import ConvolvedSum, upsampling
from autoseg.plan.network import Activation, DenseVNet, Norm, SEResNeXtVNet

RELU: Activation = "relu"


def build_dense_v_net(plan: DenseVNet, in_channels: int, out_channels: int) -> JoinedNetwork:
    """A DenseNet below the decoder of a V-Net."""
    return _with_decoder(plan, dense_encoder(plan, in_channels), out_channels)


def build_se_resnext_v_net(plan: SEResNeXtVNet, in_channels: int, out_channels: int) -> JoinedNetwork:
    """An SE-ResNeXt below the decoder of a V-Net."""
    return _with_decoder(plan, se_resnext_encoder(plan, in_channels), out_channels)


def dense_encoder(plan: DenseVNet, in_channels: int) -> list[nn.Module]:
    """Five stages; the norm and activation that end a dense block come before what is handed over."""
    dimensions, growth, channels = plan.dimensions, plan.growth, plan.encoder_features[0]
    stages: list[nn.Module] = [_stem(plan.norm, in_channels, channels, dimensions)]
    down: list[nn.Module] = [MAX_POOL[dimensions](3, 2, 1)]
    for features, layers in zip(plan.encoder_features[1:], plan.blocks, strict=True):
        dense = [DenseLayer(channels + place * growth, growth, plan.norm, dimensions) for place in range(layers)]
        stages.append(nn.Sequential(*down, *dense, *activated_norm(plan.norm, RELU, features, dimensions)))
        channels = features // 2
        down = [pointwise(features, channels, dimensions, bias=False), AVERAGE_POOL[dimensions](2, 2)]
    return stages


def se_resnext_encoder(plan: SEResNeXtVNet, in_channels: int) -> list[nn.Module]:
    """Five stages; the middle convolution of a stage's first block has its stride."""
    dimensions, channels = plan.dimensions, plan.encoder_features[0]
    stages: list[nn.Module] = [_stem(plan.norm, in_channels, channels, dimensions)]
    down: list[nn.Module] = [MAX_POOL[dimensions](3, 2, 1)]
    for level, (features, count) in enumerate(zip(plan.encoder_features[1:], plan.blocks, strict=True)):
        blocks = [_se_block(plan, channels, features, stride=2 if level else 1)]
        blocks += [_se_block(plan, features, features, stride=1) for _ in range(count - 1)]
        stages.append(nn.Sequential(*down, *blocks))
        channels, down = features, []
    return stages


class DenseLayer(nn.Module):
    """Adds features to those that came in: (batch, channels, *axes) to (batch, channels + growth, *axes).

    Args:
        channels: of what comes in.
        growth: features that are added; four times as many lie between the two convolutions.
        norm: of the plan, before each convolution.
        dimensions: 2 or 3.
    """

    def __init__(self, channels: int, growth: int, norm: Norm, dimensions: int) -> None:
        super().__init__()
        narrow = 4 * growth
        self.row = nn.Sequential(
            *activated_norm(norm, RELU, channels, dimensions),
            pointwise(channels, narrow, dimensions, bias=False),
            *activated_norm(norm, RELU, narrow, dimensions),
            convolution(narrow, growth, (3,) * dimensions, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """What came in, and what was found in it."""
        return torch.cat((x, self.row(x)), dim=1)


def _se_block(plan: SEResNeXtVNet, channels: int, features: int, stride: int) -> ResidualSum:
    dimensions, middle = plan.dimensions, features // 2
    kernel = (3,) * dimensions
    row = nn.Sequential(
        pointwise(channels, middle, dimensions, bias=False),
        *activated_norm(plan.norm, RELU, middle, dimensions),
        convolution(middle, middle, kernel, stride, bias=False, groups=plan.groups),
        *activated_norm(plan.norm, RELU, middle, dimensions),
        pointwise(middle, features, dimensions, bias=False),
        *norm_layers(plan.norm, features, dimensions),
        SqueezeExcitation(features, plan.squeeze_excitation, dimensions),
    )
    skip: list[nn.Module] = []
    if channels != features:
        skip = [convolution(channels, features, (1,) * dimensions, stride, bias=False)]
        skip += norm_layers(plan.norm, features, dimensions)
    return ResidualSum(row, nn.Sequential(*skip), nn.ReLU(inplace=True))


def _stem(norm: Norm, in_channels: int, features: int, dimensions: int) -> nn.Module:
    first = convolution(in_channels, features, (7,) * dimensions, 2, bias=False)
    return nn.Sequential(first, *activated_norm(norm, RELU, features, dimensions))


def _with_decoder(plan: DenseVNet | SEResNeXtVNet, encoder: Sequence[nn.Module], out_channels: int) -> JoinedNetwork:
    two, three = (2,) * plan.dimensions, (3,) * plan.dimensions
    skips = [*plan.encoder_features[-2::-1], 0]
    decoder, below = [], plan.encoder_features[-1]
    for features, skip, count in zip(plan.decoder_features, skips, plan.decoder_convolutions, strict=True):
        row = ConvolvedSum(features + skip, features, three, count, plan.norm, RELU)
        decoder.append(Joined(upsampling(below, features, two, plan.norm, RELU), row, adds_upsampled=True))
        below = features
    return JoinedNetwork(encoder, decoder, plan.decoder_features, out_channels, plan.dimensions, plan.deep_supervision)
