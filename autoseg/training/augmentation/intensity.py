"""Transforms that change intensities and leave geometry alone. One function a kind.

Comes in: one image (channels, *patch), the plan's transform and a generator. Goes out: the image
changed. Draws come from NumPy's generator, noise from a torch generator seeded by it, so a sample
looks the same on every run on one kind of device.

The ranges and the order are nnU-Net's, doi:10.1038/s41592-020-01008-z, supplementary note 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from autoseg.plan.augmentation import Blur, Brightness, Contrast, Gamma, LowResolution, Noise, Range

EPSILON = 1e-7
LINEAR = {2: "bilinear", 3: "trilinear"}


def add_noise(image: Tensor, noise: Noise, generator: np.random.Generator) -> Tensor:
    """Adds Gaussian noise."""
    std = generator.uniform(noise.std.low, noise.std.high)
    source = torch.Generator(image.device).manual_seed(int(generator.integers(2**62)))
    return image + std * torch.randn(image.shape, generator=source, device=image.device)


def blur(image: Tensor, transform: Blur, generator: np.random.Generator) -> Tensor:
    """Blurs each drawn channel with a Gaussian of its own."""
    for channel in _drawn_channels(image, transform.channel_probability, generator):
        image[channel] = _gaussian(image[channel], generator.uniform(transform.sigma.low, transform.sigma.high))
    return image


def change_brightness(image: Tensor, brightness: Brightness, generator: np.random.Generator) -> Tensor:
    """Multiplies each channel by a factor of its own."""
    for channel in range(len(image)):
        image[channel] *= _around_one(brightness.factor, generator)
    return image


def change_contrast(image: Tensor, contrast: Contrast, generator: np.random.Generator) -> Tensor:
    """Moves each channel's values away from, or towards, its mean; the range is kept."""
    for channel in range(len(image)):
        values = image[channel]
        mean, low, high = values.mean(), values.min(), values.max()
        image[channel] = ((values - mean) * _around_one(contrast.factor, generator) + mean).clamp(low, high)
    return image


def lower_resolution(image: Tensor, transform: LowResolution, generator: np.random.Generator) -> Tensor:
    """Takes detail from each drawn channel by sampling down and up again."""
    for channel in _drawn_channels(image, transform.channel_probability, generator):
        zoom = generator.uniform(transform.zoom.low, transform.zoom.high)
        shape: Sequence[int] = image[channel].shape
        fixed = 1 if transform.in_plane and len(shape) == 3 else 0
        small = [*shape[:fixed], *(max(1, round(size * zoom)) for size in shape[fixed:])]
        coarse = functional.interpolate(image[None, channel : channel + 1], small, mode="nearest-exact")
        image[channel] = functional.interpolate(coarse, shape, mode=LINEAR[len(shape)], align_corners=False)[0, 0]
    return image


def change_gamma(image: Tensor, gamma: Gamma, generator: np.random.Generator) -> Tensor:
    """Raises each channel, scaled to 0…1, to a power of its own; mean and deviation are kept."""
    for channel in range(len(image)):
        values = -image[channel] if gamma.inverted else image[channel]
        mean, std, low = values.mean(), values.std(), values.min()
        span = (values.max() - low).clamp(min=EPSILON)
        raised = ((values - low) / span) ** _around_one(gamma.power, generator) * span + low
        raised = (raised - raised.mean()) / raised.std().clamp(min=EPSILON) * std + mean
        image[channel] = -raised if gamma.inverted else raised
    return image


def _drawn_channels(image: Tensor, probability: float, generator: np.random.Generator) -> list[int]:
    return [channel for channel in range(len(image)) if generator.random() < probability]


def _around_one(limits: Range, generator: np.random.Generator) -> float:
    """A factor: from below 1 in half of the draws, from above 1 in the other half."""
    below = generator.random() < 0.5
    if below and limits.low < 1:
        return float(generator.uniform(limits.low, min(1.0, limits.high)))
    return float(generator.uniform(max(1.0, limits.low) if limits.high > 1 else limits.low, limits.high))


def _gaussian(values: Tensor, sigma: float) -> Tensor:
    """A Gaussian blur one axis at a time, the edge repeated."""
    radius = max(1, math.ceil(3 * sigma))
    offsets = torch.arange(-radius, radius + 1, dtype=values.dtype, device=values.device)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    weights = weights / weights.sum()
    for axis in range(values.dim()):
        if values.shape[axis] == 1:
            continue
        lines = values.movedim(axis, -1)
        flat = lines.reshape(-1, 1, lines.shape[-1])
        padded = functional.pad(flat, (radius, radius), mode="replicate")
        blurred = functional.conv1d(padded, weights[None, None])
        values = blurred.reshape(lines.shape).movedim(-1, axis)
    return values
