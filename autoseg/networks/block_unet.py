"""U-Nets whose parts are chosen one by one: blocks, norm, activation, ways down and up.

Comes in: the network part of a plan. Goes out: a network.
"""

from __future__ import annotations

from torch import Tensor, nn

from autoseg.networks.joined import Joined, JoinedNetwork
from autoseg.networks.layers import (
    DROPOUT,
    AttentionGate,
    Interpolated,
    SqueezeExcitation,
    activated_norm,
    activation_layer,
    convolution,
    norm_layers,
    transposed,
)
from autoseg.plan.network import Axes, Block, BlockUNet

MAX_POOL = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


def build_block_unet(plan: BlockUNet, in_channels: int, out_channels: int) -> JoinedNetwork:
    """A U-Net as the plan describes it."""
    decoder = [_decoder_stage(plan, level) for level in reversed(range(len(plan.features) - 1))]
    return JoinedNetwork(
        _encoder(plan, in_channels),
        decoder,
        plan.features[-2::-1],
        out_channels,
        len(plan.strides[0]),
        plan.deep_supervision,
    )


class ResidualSum(nn.Module):
    """What a row of layers makes of features, added to them.

    Args:
        row: of layers.
        skip: brings what came in to their resolution and features.
        after: the sum.
    """

    def __init__(self, row: nn.Module, skip: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.row, self.skip, self.after = row, skip, after

    def forward(self, x: Tensor) -> Tensor:
        """Features (batch, channels, *axes) to (batch, features, *axes / stride)."""
        added: Tensor = self.after(self.row(x) + self.skip(x))
        return added


class PreActivatedSum(ResidualSum):
    """Likewise, but that norm and activation come before all else: where the sum changes features or resolution, both
    of its parts see what they leave; else what came in is added as it is.

    Args:
        row: of layers, without the first norm and activation.
        skip: empty where nothing changes.
        before: that norm and activation; empty where what comes in had them.
    """

    def __init__(self, row: nn.Module, skip: nn.Sequential, before: nn.Sequential) -> None:
        super().__init__(row, skip, nn.Identity())
        self.before, self.changes = before, len(skip) > 0

    def forward(self, x: Tensor) -> Tensor:
        """Features (batch, channels, *axes) to (batch, features, *axes / stride)."""
        activated = self.before(x)
        added: Tensor = self.row(activated) + (self.skip(activated) if self.changes else x)
        return added


def _encoder(plan: BlockUNet, in_channels: int) -> list[nn.Module]:
    stages: list[nn.Module] = []
    channels, same, before = in_channels, (1,) * len(plan.strides[0]), []
    if plan.encoder_block != "plain":
        channels = plan.features[0]
        before = _plain_block(plan, in_channels, channels, plan.kernels[0], same)
    for features, kernel, stride, count in zip(
        plan.features, plan.kernels, plan.strides, plan.encoder_blocks, strict=True
    ):
        if plan.downsampling == "max_pool" and stride != same:
            before, stride = [MAX_POOL[len(stride)](stride)], same
        row = _row(plan, plan.encoder_block, channels, features, kernel, stride, count, activated=True)
        stages.append(nn.Sequential(*before, *row))
        channels, before = features, []
    return stages


def _decoder_stage(plan: BlockUNet, level: int) -> Joined:
    below, features, stride = plan.features[level + 1], plan.features[level], plan.strides[level + 1]
    is_transposed = plan.upsampling == "transposed"
    upsample = transposed(below, features, stride) if is_transposed else Interpolated(stride)
    channels, same = features + (features if is_transposed else below), (1,) * len(stride)
    row = _row(
        plan,
        plan.decoder_block,
        channels,
        features,
        plan.kernels[level],
        same,
        plan.decoder_blocks[level],
        activated=False,
    )
    gate = AttentionGate(features, below, stride) if plan.attention_gates else None
    return Joined(upsample, nn.Sequential(*row), gate)


def _row(
    plan: BlockUNet,
    block: Block,
    channels: int,
    features: int,
    kernel: Axes,
    stride: Axes,
    count: int,
    activated: bool,
) -> list[nn.Module]:
    """Blocks one after the other, the first with the stride; what leaves them is activated.

    Args:
        plan: says of what they are.
        block: their kind.
        channels: what comes in has.
        features: what goes out has.
        kernel: of their convolutions.
        stride: of the first.
        count: of blocks.
        activated: what comes in is activated, too, as what pre-activation blocks begin with then.
    """
    layers: list[nn.Module] = []
    for place in range(count):
        before, by = (channels, stride) if place == 0 else (features, (1,) * len(stride))
        match block:
            case "plain":
                layers += _plain_block(plan, before, features, kernel, by)
                layers += _excitation(plan, features, len(kernel))
            case "residual":
                layers.append(_residual_block(plan, before, features, kernel, by))
            case "pre_activation":
                layers.append(_pre_activation_block(plan, before, features, kernel, by, activated and place == 0))
    if block == "pre_activation":
        layers += activated_norm(plan.norm, plan.activation, features, len(kernel))
    return layers


def _plain_block(plan: BlockUNet, channels: int, features: int, kernel: Axes, stride: Axes) -> list[nn.Module]:
    after = [*norm_layers(plan.norm, features, len(kernel)), activation_layer(plan.activation, features)]
    if plan.activation_first:
        after = [after[-1], *after[:-1]]
    return [convolution(channels, features, kernel, stride), *after, *_dropout(plan, len(kernel))]


def _residual_block(plan: BlockUNet, channels: int, features: int, kernel: Axes, stride: Axes) -> ResidualSum:
    dimensions = len(kernel)
    norm = norm_layers(plan.norm, features, dimensions)
    row = [
        convolution(channels, features, kernel, stride),
        *activated_norm(plan.norm, plan.activation, features, dimensions),
        *_dropout(plan, dimensions),
        convolution(features, features, kernel),
        *norm,
        *_excitation(plan, features, dimensions),
    ]
    skip = _projection(channels, features, stride)
    if skip:
        skip += norm_layers(plan.norm, features, dimensions)
    return ResidualSum(nn.Sequential(*row), nn.Sequential(*skip), activation_layer(plan.activation, features))


def _pre_activation_block(
    plan: BlockUNet, channels: int, features: int, kernel: Axes, stride: Axes, activated: bool
) -> PreActivatedSum:
    dimensions = len(kernel)
    row = [
        convolution(channels, features, kernel, stride),
        *activated_norm(plan.norm, plan.activation, features, dimensions),
        *_dropout(plan, dimensions),
        convolution(features, features, kernel),
        *_excitation(plan, features, dimensions),
    ]
    before = [] if activated else activated_norm(plan.norm, plan.activation, channels, dimensions)
    skip = _projection(channels, features, stride)
    return PreActivatedSum(nn.Sequential(*row), nn.Sequential(*skip), nn.Sequential(*before))


def _projection(channels: int, features: int, stride: Axes) -> list[nn.Module]:
    """What brings features from before a block to those after it; nothing where they agree."""
    same = (1,) * len(stride)
    return [] if (channels, stride) == (features, same) else [convolution(channels, features, same, stride, bias=False)]


def _dropout(plan: BlockUNet, dimensions: int) -> list[nn.Module]:
    return [DROPOUT[dimensions](plan.dropout)] if plan.dropout else []


def _excitation(plan: BlockUNet, features: int, dimensions: int) -> list[nn.Module]:
    reduction = plan.squeeze_excitation
    return [] if reduction is None else [SqueezeExcitation(features, reduction, dimensions)]
