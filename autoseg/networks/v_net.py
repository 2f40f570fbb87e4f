"""The V-Net: stages that add what convolutions find to what came in.

Comes in: the network part of a plan. Goes out: a network.

Source: Milletari et al. 2016, doi:10.1109/3DV.2016.79.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autoseg.networks.blocks import CONVOLUTION
from autoseg.networks.joined import Joined, JoinedNetwork
from autoseg.networks.layers import activated_norm, activation_layer, convolution, norm_layers, transposed
from autoseg.plan.network import Activation, Axes, Norm, VNet


def build_v_net(plan: VNet, in_channels: int, out_channels: int) -> JoinedNetwork:
    """A V-Net as the plan describes it."""
    dimensions, levels = len(plan.strides[0]), len(plan.features) - 1
    encoder: list[nn.Module] = []
    for level, (features, kernel, stride, count) in enumerate(
        zip(plan.features, plan.kernels, plan.strides, plan.encoder_convolutions, strict=True)
    ):
        row = ConvolvedSum(features if level else in_channels, features, kernel, count, plan.norm, plan.activation)
        down = _down(plan, plan.features[level - 1], features, stride) if level else []
        encoder.append(nn.Sequential(*down, row))
    decoder, below = [], plan.features[-1]
    for level in reversed(range(levels)):
        features, kernel, count = plan.features[level], plan.kernels[level], plan.decoder_convolutions[level]
        row = ConvolvedSum(2 * features, 2 * features, kernel, count, plan.norm, plan.activation)
        up = upsampling(below, features, plan.strides[level + 1], plan.norm, plan.activation)
        decoder.append(Joined(up, row))
        below = 2 * features
    widths = [2 * features for features in plan.features[-2::-1]]
    return JoinedNetwork(encoder, decoder, widths, out_channels, dimensions, plan.deep_supervision)


class ConvolvedSum(nn.Module):
    """What a row of convolutions finds, added to what came in; then activated.

    Args:
        channels: of what comes in.
        features: of what goes out.
        kernel: of the convolutions.
        count: of them; a norm and an activation come after each, the last activation after the sum.
        norm: of the plan.
        activation: of the plan.
    """

    def __init__(
        self, channels: int, features: int, kernel: Axes, count: int, norm: Norm, activation: Activation
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for place in range(count):
            layers.append(convolution(channels if place == 0 else features, features, kernel))
            layers += norm_layers(norm, features, len(kernel))
            if place < count - 1:
                layers.append(activation_layer(activation, features))
        self.features, self.row = features, nn.Sequential(*layers)
        self.activation = activation_layer(activation, features)

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        """Features (batch, channels, *axes) to (batch, features, *axes).

        Args:
            x: what is convolved.
            added: what is added; None for x, its channels repeated where they are fewer than the features, as the image
                is in the first stage.
        """
        found = self.row(x)
        summed: Tensor = self.activation(found + self._repeated(x if added is None else added))
        return summed

    def _repeated(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        if channels == self.features:
            return x
        return torch.cat([x] * -(-self.features // channels), dim=1)[:, : self.features]


def upsampling(channels: int, features: int, stride: Axes, norm: Norm, activation: Activation) -> nn.Module:
    """A transposed convolution as large as its stride, a norm, an activation."""
    layers = activated_norm(norm, activation, features, len(stride))
    return nn.Sequential(transposed(channels, features, stride), *layers)


def _down(plan: VNet, channels: int, features: int, stride: Axes) -> list[nn.Module]:
    convolved = CONVOLUTION[len(stride)](channels, features, stride, stride)
    return [convolved, *activated_norm(plan.norm, plan.activation, features, len(stride))]
