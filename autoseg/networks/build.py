"""From the network part of a plan to a torch module: the one place that knows every kind."""

from __future__ import annotations

from typing import assert_never

import torch
from torch import nn

from autoseg.networks.block_unet import build_block_unet
from autoseg.networks.classifier_v_nets import build_dense_v_net, build_se_resnext_v_net
from autoseg.networks.encoders import plain_encoder, residual_encoder
from autoseg.networks.joined import JoinedNetwork
from autoseg.networks.unet import UNet
from autoseg.networks.v_net import build_v_net
from autoseg.plan.network import BlockUNet, DenseVNet, Network, PlainUNet, ResidualEncoderUNet, SEResNeXtVNet, VNet


def build_network(network: Network, in_channels: int, out_channels: int, seed: int = 0) -> UNet | JoinedNetwork:
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
        return _build(network, in_channels, out_channels)


def count_parameters(network: nn.Module) -> int:
    """Trainable numbers in a network."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def _build(network: Network, inputs: int, outputs: int) -> UNet | JoinedNetwork:
    match network:
        case PlainUNet():
            return UNet(plain_encoder(network, inputs), network, outputs)
        case ResidualEncoderUNet():
            return UNet(residual_encoder(network, inputs), network, outputs)
        case BlockUNet():
            return build_block_unet(network, inputs, outputs)
        case VNet():
            return build_v_net(network, inputs, outputs)
        case DenseVNet():
            return build_dense_v_net(network, inputs, outputs)
        case SEResNeXtVNet():
            return build_se_resnext_v_net(network, inputs, outputs)
    assert_never(network)
