"""The plain U-Net: convolution, instance norm, leaky ReLU, at any depth, in 2-D and 3-D.

Comes in: images (batch, channels, *axes). Goes out: logits (batch, outputs, *axes), while
training also at the lower resolutions that deep supervision looks at.

Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z; Ronneberger et al. 2015,
doi:10.1007/978-3-319-24574-4_28.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from autoseg.plan.network import Axes, PlainUNet

SLOPE = 0.01  # of the leaky ReLU below zero
EPSILON = 1e-5  # added to the variance in instance norm

CONVOLUTION: dict[int, Callable[..., nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, Callable[..., nn.Module]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
INSTANCE_NORM: dict[int, Callable[..., nn.Module]] = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


class UNet(nn.Module):
    """A U-Net as the plan describes it.

    In training mode with deep supervision, `forward` returns one tensor a decoder stage, full
    resolution first; otherwise a tuple of the full resolution alone.
    """

    def __init__(self, plan: PlainUNet, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.deep_supervision = plan.deep_supervision
        self.encoder = nn.ModuleList()
        channels = in_channels
        for features, kernel, stride, count in zip(
            plan.features, plan.kernels, plan.strides, plan.encoder_convolutions, strict=True
        ):
            self.encoder.append(_convolutions(channels, features, kernel, stride, count))
            channels = features

        self.upsampling, self.decoder, self.heads = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        # From the bottleneck up: stage i + 1 is brought to the resolution of stage i and joined with it.
        for i in reversed(range(len(plan.features) - 1)):
            below, here = plan.features[i + 1], plan.features[i]
            stride, kernel = plan.strides[i + 1], plan.kernels[i]
            self.upsampling.append(TRANSPOSED[len(stride)](below, here, stride, stride))
            same = (1,) * len(stride)
            self.decoder.append(_convolutions(2 * here, here, kernel, same, plan.decoder_convolutions[i]))
            self.heads.append(CONVOLUTION[len(stride)](here, out_channels, 1))
        self.apply(_initialise)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Logits for images (batch, channels, *axes), full resolution first."""
        skips = []
        x = images
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        skips.pop()
        logits: list[Tensor] = []
        last = len(self.decoder) - 1
        for i, (upsample, stage, head) in enumerate(zip(self.upsampling, self.decoder, self.heads, strict=True)):
            x = stage(torch.cat((upsample(x), skips.pop()), dim=1))
            # The lowest resolution has weight 0 in the loss, so its head is idle unless it is the only one.
            if i == last or (self.training and self.deep_supervision and i > 0):
                logits.append(head(x))
        return tuple(reversed(logits))


def _convolutions(channels: int, features: int, kernel: Axes, stride: Axes, count: int) -> nn.Sequential:
    """`count` times convolution, instance norm, leaky ReLU; the first has the stride."""
    same = (1,) * len(stride)
    blocks = [_block(channels, features, kernel, stride)]
    blocks += [_block(features, features, kernel, same) for _ in range(count - 1)]
    return nn.Sequential(*blocks)


def _block(channels: int, features: int, kernel: Axes, stride: Axes) -> nn.Sequential:
    dimensions = len(kernel)
    padding = tuple((size - 1) // 2 for size in kernel)
    return nn.Sequential(
        CONVOLUTION[dimensions](channels, features, kernel, stride, padding),
        INSTANCE_NORM[dimensions](features, eps=EPSILON, affine=True),
        nn.LeakyReLU(SLOPE, inplace=True),
    )


def _initialise(module: nn.Module) -> None:
    """He initialisation for the leaky ReLU; doi:10.1109/ICCV.2015.123."""
    if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight, a=SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
