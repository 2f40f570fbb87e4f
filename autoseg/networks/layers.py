"""The layers networks are made of, chosen by the plan.

Comes in: channels, features, kernel and stride; the norm and activation of a plan. Goes out: modules that map
features (batch, channels, *axes) to (batch, features, *axes / stride).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

import torch
from torch import Tensor, nn
from torch.nn import functional

from autoseg.networks.blocks import CONVOLUTION, SLOPE, TRANSPOSED
from autoseg.networks.instance_norm import InstanceNorm
from autoseg.plan.network import Activation, Axes, Norm
from autoseg.plan.network import BatchNorm as BatchNormPlan
from autoseg.plan.network import InstanceNorm as InstanceNormPlan
from autoseg.plan.network import NoNorm as NoNormPlan

BATCH_NORM: dict[int, Callable[..., nn.Module]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
DROPOUT: dict[int, Callable[..., nn.Module]] = {2: nn.Dropout2d, 3: nn.Dropout3d}
INTERPOLATION = {2: "bilinear", 3: "trilinear"}


def convolution(channels: int, features: int, kernel: Axes, stride: Axes | int = 1, **more: bool | int) -> nn.Module:
    """A convolution that keeps the size, but for its stride; `more` is torch's (bias, groups)."""
    padding = tuple((size - 1) // 2 for size in kernel)
    return CONVOLUTION[len(kernel)](channels, features, kernel, stride, padding, **more)


def pointwise(channels: int, features: int, dimensions: int, **more: bool) -> nn.Module:
    """A convolution of one voxel: each voxel's features are mixed."""
    return CONVOLUTION[dimensions](channels, features, 1, **more)


def norm_layers(norm: Norm, features: int, dimensions: int) -> list[nn.Module]:
    """The norm of a plan; nothing where there is none."""
    match norm:
        case InstanceNormPlan():
            return [InstanceNorm(features)]
        case BatchNormPlan(momentum=momentum):
            return [BATCH_NORM[dimensions](features, momentum=momentum)]
        case NoNormPlan():
            return []
    assert_never(norm)


def activation_layer(activation: Activation, features: int, inplace: bool = True) -> nn.Module:
    """The activation of a plan; `inplace` where nobody else looks at what comes in."""
    match activation:
        case "leaky_relu":
            return nn.LeakyReLU(SLOPE, inplace=inplace)
        case "relu":
            return nn.ReLU(inplace=inplace)
        case "prelu":
            return nn.PReLU(features)
    assert_never(activation)


def activated_norm(norm: Norm, activation: Activation, features: int, dimensions: int) -> list[nn.Module]:
    """A norm, then an activation; what comes in is left as it is."""
    layers = norm_layers(norm, features, dimensions)
    return [*layers, activation_layer(activation, features, inplace=bool(layers))]


class Interpolated(nn.Module):
    """Features at a higher resolution, bilinear or trilinear: the corners of voxels meet, not their centres.

    Args:
        stride: how many times finer, per axis.
    """

    def __init__(self, stride: Axes) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Features (batch, channels, *axes) to (batch, channels, *axes × stride)."""
        size = [length * factor for length, factor in zip(x.shape[2:], self.stride, strict=True)]
        # In float32 on all devices, as autocast has it on a GPU; what goes on has the type of what came.
        return functional.interpolate(x.float(), size, mode=INTERPOLATION[len(size)], align_corners=False).to(x.dtype)


def transposed(channels: int, features: int, stride: Axes) -> nn.Module:
    """A transposed convolution as large as its stride."""
    return TRANSPOSED[len(stride)](channels, features, stride, stride)


class SqueezeExcitation(nn.Module):
    """Weighs channels, 0 to 1, by what a small network makes of their means.

    Args:
        features: channels of what comes in.
        reduction: how many times fewer features the hidden layer has; one at least.
        dimensions: 2 or 3.

    Source: Hu et al. 2018, doi:10.1109/CVPR.2018.00745.
    """

    def __init__(self, features: int, reduction: int, dimensions: int) -> None:
        super().__init__()
        hidden = max(1, features // reduction)
        self.squeeze = pointwise(features, hidden, dimensions)
        self.excite = pointwise(hidden, features, dimensions)

    def forward(self, x: Tensor) -> Tensor:
        """Features (batch, channels, *axes) to the same shape."""
        means = x.mean(dim=tuple(range(2, x.dim())), keepdim=True)
        weights = torch.sigmoid(self.excite(functional.relu(self.squeeze(means))))
        return x * weights


class AttentionGate(nn.Module):
    """Weighs the voxels that an encoder hands over, 0 to 1, by what the decoder found one level below.

    Args:
        features: channels that are handed over; half as many are compared.
        below: channels of the level below.
        stride: how many times coarser that level is, per axis.

    Source: Oktay et al. 2018, arXiv:1804.03999, with the additive attention of its figure 2.
    """

    def __init__(self, features: int, below: int, stride: Axes) -> None:
        super().__init__()
        dimensions, hidden = len(stride), max(1, features // 2)
        self.of_skip = CONVOLUTION[dimensions](features, hidden, stride, stride, bias=False)
        self.of_below = pointwise(below, hidden, dimensions)
        self.weigh = pointwise(hidden, 1, dimensions)
        self.upsample = Interpolated(stride)

    def forward(self, skip: Tensor, below: Tensor) -> Tensor:
        """What is handed over (batch, features, *axes) and (batch, below, *axes / stride), to the first's shape."""
        compared = functional.relu(self.of_skip(skip) + self.of_below(below))
        weighted: Tensor = skip * self.upsample(torch.sigmoid(self.weigh(compared)))
        return weighted
