"""What U-Nets are built of: a row of convolutions, and a residual block.

Comes in: channels, features, kernel and stride. Goes out: modules that map features
(batch, channels, *axes) to (batch, features, *axes / stride), freshly initialised by `initialise`.

Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z; Isensee et al. 2024,
doi:10.1007/978-3-031-72114-4_47, for the residual encoder.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from autoseg.networks.instance_norm import InstanceNorm
from autoseg.plan.network import Axes

SLOPE = 0.01  # of the leaky ReLU below zero

CONVOLUTION: dict[int, Callable[..., nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, Callable[..., nn.Module]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
AVERAGE_POOL: dict[int, Callable[..., nn.Module]] = {2: nn.AvgPool2d, 3: nn.AvgPool3d}


def convolutions(channels: int, features: int, kernel: Axes, stride: Axes, count: int) -> nn.Sequential:
    """`count` times convolution, instance norm, leaky ReLU; the first has the stride."""
    same = (1,) * len(stride)
    blocks = [_activated(channels, features, kernel, stride)]
    blocks += [_activated(features, features, kernel, same) for _ in range(count - 1)]
    return nn.Sequential(*blocks)


class ResidualBlock(nn.Module):
    """Two convolutions whose result is added to what came in: the basic block of a ResNet-D.

    The first convolution has the stride. What came in is brought to the new resolution by
    averaging, and to the new number of features by a 1 × 1 convolution and a norm, each only
    where it changes. The leaky ReLU comes after the sum.

    Source: He et al. 2019, doi:10.1109/CVPR.2019.00065.
    """

    def __init__(self, channels: int, features: int, kernel: Axes, stride: Axes) -> None:
        super().__init__()
        same = (1,) * len(stride)
        self.first = _activated(channels, features, kernel, stride)
        self.second = _normed(features, features, kernel, same)
        self.skip = _skip(channels, features, stride)
        self.activation = nn.LeakyReLU(SLOPE, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Features (batch, channels, *axes) to (batch, features, *axes / stride)."""
        added: Tensor = self.second(self.first(x)) + self.skip(x)
        activated: Tensor = self.activation(added)
        return activated


def initialise(module: nn.Module) -> None:
    """He initialisation for the leaky ReLU, doi:10.1109/ICCV.2015.123; fresh residual blocks add nothing.

    For `nn.Module.apply`, which comes to a block after its parts. A block whose last norm is 0
    hands on what came in, so that a deep encoder learns as if it were shallow at first; Goyal et al.
    2017, arXiv:1706.02677. Weights that have shapes only are left alone.
    """
    if any(weights.is_meta for weights in module.parameters(recurse=False)):
        return
    if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight, a=SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, ResidualBlock):
        for parameter in module.second[-1].parameters():
            nn.init.zeros_(parameter)


def _activated(channels: int, features: int, kernel: Axes, stride: Axes) -> nn.Sequential:
    return nn.Sequential(*_normed(channels, features, kernel, stride), nn.LeakyReLU(SLOPE, inplace=True))


def _normed(channels: int, features: int, kernel: Axes, stride: Axes, bias: bool = True) -> nn.Sequential:
    dimensions = len(kernel)
    padding = tuple((size - 1) // 2 for size in kernel)
    return nn.Sequential(
        CONVOLUTION[dimensions](channels, features, kernel, stride, padding, bias=bias),
        InstanceNorm(features),
    )


def _skip(channels: int, features: int, stride: Axes) -> nn.Sequential:
    same = (1,) * len(stride)
    steps: list[nn.Module] = []
    if stride != same:
        steps.append(AVERAGE_POOL[len(stride)](stride, stride))
    if channels != features:
        steps.append(_normed(channels, features, same, same, bias=False))
    return nn.Sequential(*steps)  # nothing at all where nothing changes
