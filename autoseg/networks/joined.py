"""The frame of networks that go down and up again: an encoder, and a decoder that joins what it hands over.

Comes in: images (batch, channels, *axes). Goes out: logits (batch, outputs, *axes), while training also at the lower
resolutions that deep supervision looks at.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from autoseg.networks.blocks import initialise
from autoseg.networks.encoders import encode
from autoseg.networks.layers import AttentionGate, pointwise


class Joined(nn.Module):
    """A decoder stage: what came up from below, joined with what the encoder hands over.

    Args:
        upsample: brings features to the stage's resolution.
        convolve: features of both to the stage's.
        gate: weighs what is handed over; None to take it as it is.
        adds_upsampled: `convolve` takes what came up as its second argument, to add it.
    """

    def __init__(
        self, upsample: nn.Module, convolve: nn.Module, gate: AttentionGate | None = None, adds_upsampled: bool = False
    ) -> None:
        super().__init__()
        self.upsample, self.convolve, self.gate = upsample, convolve, gate
        self.adds_upsampled = adds_upsampled

    def forward(self, below: Tensor, skip: Tensor | None) -> Tensor:
        """Features of the level below, and of the encoder at this one, None where it has none, to this stage's."""
        up: Tensor = self.upsample(below)
        joined = up
        if skip is not None:
            joined = torch.cat((up, skip if self.gate is None else self.gate(skip, below)), dim=1)
        convolved: Tensor = self.convolve(joined, up) if self.adds_upsampled else self.convolve(joined)
        return convolved


class JoinedNetwork(nn.Module):
    """An encoder and a decoder.

    In training mode with deep supervision, `forward` returns one tensor a decoder stage but the lowest, full
    resolution first; otherwise a tuple of the full resolution alone.

    Args:
        encoder: stages from fine to coarse, each of which maps the features of the one before. Where it has as many
            as the decoder, its first has a stride already, and the decoder's last stage is handed nothing over.
        decoder: `Joined` stages from coarse to fine.
        features: of the decoder's stages.
        out_channels: of the logits.
        dimensions: 2 or 3.
        deep_supervision: as in the plan.
    """

    def __init__(
        self,
        encoder: Sequence[nn.Module],
        decoder: Sequence[Joined],
        features: Sequence[int],
        out_channels: int,
        dimensions: int,
        deep_supervision: bool,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.ModuleList(encoder), nn.ModuleList(decoder)
        # As in `UNet`, the lowest resolution has weight 0 in the loss; here it has no head, unless it is the only one.
        last = len(decoder) - 1
        self.first = min(1, last) if deep_supervision else last
        self.heads = nn.ModuleList(pointwise(width, out_channels, dimensions) for width in features[self.first :])
        self.apply(initialise)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Logits for images (batch, channels, *axes), full resolution first."""
        x, skips = encode(self.encoder, images)
        logits: list[Tensor] = []
        last = len(self.decoder) - 1
        for i, stage in enumerate(self.decoder):
            x = stage(x, skips.pop() if skips else None)
            if i == last or (self.training and i >= self.first):
                logits.append(self.heads[i - self.first](x))
        return tuple(reversed(logits))
