"""Encoders: the half of a U-Net that goes down, one function a kind.

Comes in: the network part of a plan. Goes out: stages, each of which maps the features of the one
before, (batch, channels, *axes), to its own; the first takes the image.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from autoseg.networks.blocks import ResidualBlock, convolutions
from autoseg.plan.network import PlainUNet, ResidualEncoderUNet


def encode(stages: Iterable[nn.Module], images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """What the last stage makes of images (batch, channels, *axes), and what those before it hand over, in order."""
    x, handed_over = images, []
    for stage in stages:
        x = stage(x)
        handed_over.append(x)
    return x, handed_over[:-1]


def plain_encoder(plan: PlainUNet, in_channels: int) -> nn.ModuleList:
    """Stages of convolution, instance norm, leaky ReLU; the first convolution of a stage has its stride."""
    stages = nn.ModuleList()
    channels = in_channels
    for features, kernel, stride, count in zip(
        plan.features, plan.kernels, plan.strides, plan.encoder_convolutions, strict=True
    ):
        stages.append(convolutions(channels, features, kernel, stride, count))
        channels = features
    return stages


def residual_encoder(plan: ResidualEncoderUNet, in_channels: int) -> nn.ModuleList:
    """Stages of residual blocks; in the first, a convolution comes before them and brings the image to its features.

    Source: Isensee et al. 2024, doi:10.1007/978-3-031-72114-4_47.
    """
    stages = nn.ModuleList()
    channels, same = plan.features[0], (1,) * len(plan.strides[0])
    stem = [convolutions(in_channels, channels, plan.kernels[0], same, 1)]
    for features, kernel, stride, count in zip(
        plan.features, plan.kernels, plan.strides, plan.encoder_blocks, strict=True
    ):
        blocks = [ResidualBlock(channels, features, kernel, stride)]
        blocks += [ResidualBlock(features, features, kernel, same) for _ in range(count - 1)]
        stages.append(nn.Sequential(*stem, *blocks))
        channels, stem = features, []
    return stages
