"""Transforms that change intensities and leave geometry alone. One function a kind.

Comes in: one image (channels, *patch), the plan's transform and a generator. The image is changed
where it lies. Draws come from NumPy's generator, noise from a torch generator seeded by it, so a sample
looks the same on every run on one kind of device.

Blurring and low resolution are linear and separable, so along an axis they are a matrix, as resampling
is: three products take a small part of the time of convolutions (benchmarks/choices.py).

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


def add_noise(image: Tensor, noise: Noise, generator: np.random.Generator) -> None:
    """Adds Gaussian noise."""
    std = generator.uniform(noise.std.low, noise.std.high)
    source = torch.Generator(image.device).manual_seed(int(generator.integers(2**62)))
    image.add_(torch.randn(image.shape, generator=source, device=image.device), alpha=std)


def blur(image: Tensor, transform: Blur, generator: np.random.Generator) -> None:
    """Blurs each drawn channel with a Gaussian that has a width of its own along each axis."""
    for channel in _drawn_channels(image, transform.channel_probability, generator):
        widths = generator.uniform(transform.sigma.low, transform.sigma.high, image.dim() - 1)
        matrices = [_gaussian(size, sigma) for size, sigma in zip(image.shape[1:], widths, strict=True)]
        image[channel] = _along_axes(image[channel], matrices)


def change_brightness(image: Tensor, brightness: Brightness, generator: np.random.Generator) -> None:
    """Multiplies each channel by a factor of its own."""
    for values in image:
        values.mul_(_around_one(brightness.factor, generator))


def change_contrast(image: Tensor, contrast: Contrast, generator: np.random.Generator) -> None:
    """Moves each channel's values away from, or towards, its mean; the range is kept."""
    for values in image:
        factor = _around_one(contrast.factor, generator)
        mean, (low, high) = values.mean(), torch.aminmax(values)
        values.mul_(factor).add_(mean * (1 - factor)).clamp_(low, high)


def lower_resolution(image: Tensor, transform: LowResolution, generator: np.random.Generator) -> None:
    """Takes detail from each drawn channel by sampling down and up again."""
    for channel in _drawn_channels(image, transform.channel_probability, generator):
        zoom = generator.uniform(transform.zoom.low, transform.zoom.high)
        shape: Sequence[int] = image[channel].shape
        fixed = 1 if transform.in_plane and len(shape) == 3 else 0
        small = [*shape[:fixed], *(max(1, round(size * zoom)) for size in shape[fixed:])]
        coarse = functional.interpolate(image[None, channel : channel + 1], small, mode="nearest-exact")[0, 0]
        matrices = [_linear(*sizes) for sizes in zip(small, shape, strict=True)]
        image[channel] = _along_axes(coarse, matrices)


def change_gamma(image: Tensor, gamma: Gamma, generator: np.random.Generator) -> None:
    """Raises each channel, scaled to 0…1, to a power of its own; mean and deviation are kept."""
    for values in image:
        power = _around_one(gamma.power, generator)
        if gamma.inverted:
            values.neg_()
        mean = values.mean()
        spread = torch.linalg.vector_norm(values.sub_(mean))
        low, high = torch.aminmax(values)
        values.sub_(low).div_((high - low).clamp_(min=EPSILON))
        values.log_().mul_(power).exp_()  # 0 stays 0; `pow` takes longer, as benchmarks/choices.py measures
        raised_spread = torch.linalg.vector_norm(values.sub_(values.mean()))
        values.mul_(spread / raised_spread.clamp_(min=EPSILON)).add_(mean)
        if gamma.inverted:
            values.neg_()


def _drawn_channels(image: Tensor, probability: float, generator: np.random.Generator) -> list[int]:
    return [channel for channel in range(len(image)) if generator.random() < probability]


def _around_one(limits: Range, generator: np.random.Generator) -> float:
    """A factor: from below 1 in half of the draws, from above 1 in the other half."""
    below = generator.random() < 0.5
    if below and limits.low < 1:
        return float(generator.uniform(limits.low, min(1.0, limits.high)))
    return float(generator.uniform(max(1.0, limits.low) if limits.high > 1 else limits.low, limits.high))


def _gaussian(size: int, sigma: float) -> Tensor:
    """The matrix of a Gaussian blur along an axis, (size, size), the edge repeated."""
    radius = max(1, math.ceil(3 * sigma))
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    read = (torch.arange(size)[:, None] + offsets).clamp(0, size - 1)
    return torch.zeros(size, size).scatter_add_(1, read, (weights / weights.sum()).expand_as(read))


def _linear(size: int, new_size: int) -> Tensor:
    """The matrix of linear interpolation from `size` to `new_size` voxels of the same extent, (new_size, size)."""
    return functional.interpolate(torch.eye(size)[None], new_size, mode="linear", align_corners=False)[0].T


def _along_axes(values: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Values (z, y, x) or (y, x) with each axis multiplied by its matrix."""
    for axis, matrix in enumerate(matrices):
        if matrix.shape == (1, 1):
            continue
        matrix = matrix.to(values.device)
        after = values.shape[axis + 1 :]
        if after:
            values = torch.matmul(matrix, values.flatten(axis + 1)).view(*values.shape[:axis], len(matrix), *after)
        else:
            values = torch.matmul(values, matrix.T)
    return values
