"""From loaded samples to an augmented batch on the device.

Comes in: samples as the loaders read them. Goes out: images (batch, channels, *patch) and class
indices (batch, *patch), augmented in the plan's order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoseg.plan.augmentation import Mirror, Spatial, Transform
from autoseg.training.augmentation.intensity import (
    add_noise,
    blur,
    change_brightness,
    change_contrast,
    change_gamma,
    lower_resolution,
)
from autoseg.training.augmentation.spatial import sample_affine

INTENSITY: dict[str, Callable[[Tensor, Any, np.random.Generator], Tensor]] = {
    "noise": add_noise,
    "blur": blur,
    "brightness": change_brightness,
    "contrast": change_contrast,
    "low_resolution": lower_resolution,
    "gamma": change_gamma,
}


class Sample(NamedTuple):
    """What a loader read for one patch.

    Attributes:
        image: (channels, *source), the patch or, where it will be warped, the voxels it reaches over.
        labels: class indices (*source).
        matrix: affine map that is still to be applied, or None: the source is the patch.
        centre: voxel of the source where the patch's centre lies.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.int16]
    matrix: NDArray[np.float64] | None
    centre: tuple[float, ...]


class Batch(NamedTuple):
    """A batch as the network takes it.

    Attributes:
        images: (batch, channels, *patch), float32.
        labels: class indices (batch, *patch), int16.
    """

    images: Tensor
    labels: Tensor


def make_batch(
    samples: Sequence[Sample],
    patch: Sequence[int],
    transforms: Sequence[Transform],
    generators: Sequence[np.random.Generator],
    device: torch.device,
) -> Batch:
    """Moves samples to the device and augments them there.

    Args:
        samples: one a place in the batch; on a CPU their arrays are worked in, and are not to be used again.
        patch: size of the patch.
        transforms: the plan's augmentation; its `Spatial` was drawn by the loader already.
        generators: one a sample.
        device: where the batch is wanted.
    """
    images, labels = [], []
    for sample, generator in zip(samples, generators, strict=True):
        image = torch.from_numpy(sample.image).to(device, non_blocking=True)
        label = torch.from_numpy(sample.labels).to(device, non_blocking=True)
        if sample.matrix is not None:
            image, label = sample_affine(image, label, sample.matrix, sample.centre, patch)
        for transform in transforms:
            image, label = _apply(transform, image, label, generator)
        images.append(image)
        labels.append(label)
    return Batch(torch.stack(images), torch.stack(labels))


def _apply(transform: Transform, image: Tensor, label: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    if isinstance(transform, Spatial):
        return image, label
    if isinstance(transform, Mirror):
        flipped = [axis for axis in transform.axes if generator.random() < 0.5]
        return image.flip([axis + 1 for axis in flipped]), label.flip(flipped)
    if generator.random() < transform.probability:
        image = INTENSITY[transform.kind](image, transform, generator)
    return image, label
