"""From the network part of a plan to a torch module: the one place that knows every kind."""

from __future__ import annotations

import torch
from torch import nn

from autoseg.networks.encoders import plain_encoder, residual_encoder
from autoseg.networks.unet import UNet
from autoseg.plan.network import Network, PlainUNet, ResidualEncoderUNet


def build_network(network: Network, in_channels: int, out_channels: int, seed: int = 0) -> UNet:
    """Builds a network with freshly drawn weights.

    Args:
        network: what to build.
        in_channels: image channels.
        out_channels: one a class, or one a region.
        seed: of the weights; the global random state is left as it was.

    >>> from autoseg.plan.network import PlainUNet
    >>> plan = PlainUNet(features=(4, 8), kernels=((3, 3), (3, 3)), strides=((1, 1), (2, 2)),
    ...                  encoder_convolutions=(2, 2), decoder_convolutions=(2,))
    >>> build_network(plan, in_channels=1, out_channels=3)(torch.zeros(1, 1, 16, 16))[0].shape
    torch.Size([1, 3, 16, 16])
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet(_encoder(network, in_channels), network, out_channels)


def count_parameters(network: nn.Module) -> int:
    """Trainable numbers in a network."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def _encoder(network: Network, in_channels: int) -> nn.ModuleList:
    match network:
        case PlainUNet():
            return plain_encoder(network, in_channels)
        case ResidualEncoderUNet():
            return residual_encoder(network, in_channels)
