"""Instance norm, by the quickest way there is for where the features lie.

Comes in: features (batch, channels, *axes). Goes out: the same shape, each channel of each sample on its own scale.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-5  # added to the variance


class InstanceNorm(nn.Module):
    """Each channel of each sample, brought to mean 0 and variance 1, then scaled and shifted by learnt numbers.

    It is a group norm whose groups are single channels. On a CPU torch's kernel for that is the faster one: by a tenth
    of a training step, by half of a prediction, where it is the only one that leaves channels in the last place
    (benchmarks/choices.py).

    Args:
        features: channels of what comes in.

    Source: Ulyanov et al. 2016, arXiv:1607.08022.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        """Features (batch, channels, *axes) to the same shape."""
        if x.device.type != "cpu":
            return functional.instance_norm(x, weight=self.weight, bias=self.bias, eps=EPSILON)
        if torch.is_grad_enabled() and channels_lie_last(x):
            normed: Tensor = _ChannelsLast.apply(x, self.weight, self.bias)  # type: ignore[no-untyped-call]
            return normed
        return functional.group_norm(x, len(self.weight), self.weight, self.bias, EPSILON)


def channels_lie_last(x: Tensor) -> bool:
    """Whether the channels of a volume's voxel lie side by side in memory, and not those of one channel.

    >>> volumes = torch.zeros(1, 2, 4, 4, 4)
    >>> channels_lie_last(volumes), channels_lie_last(volumes.to(memory_format=torch.channels_last_3d))
    (False, True)
    """
    return x.dim() == 5 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last_3d)


class _ChannelsLast(torch.autograd.Function):
    """torch's kernel forwards; its way back is slow where channels lie last, so that is written out here.

    With x̂ = (x - μ)/σ over the n voxels of a channel, y = w·x̂ + b, and g the gradient of y:
    the gradient of x is w/σ · (g - mean(g) - x̂·mean(g·x̂)), a line in g and x with a slope and an offset a channel.
    """

    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        batch, channels, voxels = x.shape[0], x.shape[1], x[0, 0].numel()
        normed, mean, inverse = torch.native_group_norm(x, weight, bias, batch, channels, voxels, channels, EPSILON)
        context.save_for_backward(x, weight, mean, inverse)
        return normed

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight, mean, inverse = context.saved_tensors
        mean, inverse, voxels, axes = mean.float(), inverse.float(), x[0, 0].numel(), (2, 3, 4)
        of_bias = gradient.sum(axes, dtype=torch.float32)  # (batch, channels)
        of_weight = ((gradient * x).sum(axes, dtype=torch.float32) - of_bias * mean) * inverse
        slope = weight.float() * inverse
        of_x = -slope * inverse * of_weight / voxels
        offset = -of_x * mean - slope * of_bias / voxels
        slope, of_x, offset = (part.to(x.dtype)[:, :, None, None, None] for part in (slope, of_x, offset))
        back = torch.addcmul(offset, x, of_x).addcmul_(gradient, slope)
        return back, of_weight.sum(0).to(weight.dtype), of_bias.sum(0).to(weight.dtype)
