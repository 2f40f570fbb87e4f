"""The U-Net: an encoder of any kind, and the decoder they share, at any depth, in 2-D and 3-D.

Comes in: images (batch, channels, *axes). Goes out: logits (batch, outputs, *axes), while
training also at the lower resolutions that deep supervision looks at.

Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z; Ronneberger et al. 2015,
doi:10.1007/978-3-319-24574-4_28.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autoseg.networks.blocks import CONVOLUTION, TRANSPOSED, convolutions, initialise
from autoseg.networks.encoders import encode
from autoseg.plan.network import PlainUNet, ResidualEncoderUNet


class UNet(nn.Module):
    """A U-Net as the plan describes it.

    In training mode with deep supervision, `forward` returns one tensor a decoder stage, full
    resolution first; otherwise a tuple of the full resolution alone.

    Args:
        encoder: stages from full resolution to the bottleneck, as the plan describes them.
        plan: for the decoder.
        out_channels: of the logits.
    """

    def __init__(self, encoder: nn.ModuleList, plan: PlainUNet | ResidualEncoderUNet, out_channels: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.upsampling, self.decoder, self.heads = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        # From the bottleneck up: stage i + 1 is brought to the resolution of stage i and joined with it.
        for i in reversed(range(len(plan.features) - 1)):
            below, here = plan.features[i + 1], plan.features[i]
            stride, kernel = plan.strides[i + 1], plan.kernels[i]
            self.upsampling.append(TRANSPOSED[len(stride)](below, here, stride, stride))
            same = (1,) * len(stride)
            self.decoder.append(convolutions(2 * here, here, kernel, same, plan.decoder_convolutions[i]))
            self.heads.append(CONVOLUTION[len(stride)](here, out_channels, 1))
        # The lowest resolution has weight 0 in the loss, so its head is idle unless it is the only one.
        last = len(self.decoder) - 1
        self.first = min(1, last) if plan.deep_supervision else last
        self.apply(initialise)

    @property
    def idle_heads(self) -> nn.ModuleList:
        """Those whose logits nobody asks for, in training or later; published weights have them all the same."""
        return self.heads[: self.first]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Logits for images (batch, channels, *axes), full resolution first."""
        x, skips = encode(self.encoder, images)
        logits: list[Tensor] = []
        last = len(self.decoder) - 1
        for i, (upsample, stage, head) in enumerate(zip(self.upsampling, self.decoder, self.heads, strict=True)):
            x = stage(torch.cat((upsample(x), skips.pop()), dim=1))
            if i == last or (self.training and i >= self.first):
                logits.append(head(x))
        return tuple(reversed(logits))
