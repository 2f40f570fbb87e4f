"""From loaded samples to an augmented batch on the device.

Comes in: samples as the loaders read them. Goes out: images (batch, channels, *patch) and class
indices (batch, *patch), augmented in the plan's order.

Samples are varied one by one: each draws transforms and sizes of its own, and even of a 2-D patch an
operation fills a GPU longer than it takes to start it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoseg.plan.augmentation import (
    Batchgenerators,
    Copies,
    Mirror,
    PreviousBinary,
    PreviousComponents,
    Spatial,
    Transform,
    ZeroOutside,
)
from autoseg.training.augmentation.copies import transforms_of
from autoseg.training.augmentation.intensity import (
    add_noise,
    blur,
    change_brightness,
    change_contrast,
    change_gamma,
    lower_resolution,
)
from autoseg.training.augmentation.previous import change_borders, drop_components
from autoseg.training.augmentation.spatial import sample_affine

Change = Callable[[Tensor, Any, np.random.Generator], None]

INTENSITY: dict[str, Change] = {
    "noise": add_noise,
    "blur": blur,
    "brightness": change_brightness,
    "contrast": change_contrast,
    "low_resolution": lower_resolution,
    "gamma": change_gamma,
}
PREVIOUS: dict[str, Change] = {"previous_binary": change_borders, "previous_components": drop_components}
NEARLY_ZERO = 1e-3  # standard deviations; resampling leaves ripples of about as much around the object


class Sample(NamedTuple):
    """What a loader read for one patch.

    Attributes:
        image: (channels, *source), the patch or, where it will be warped, the voxels it reaches over.
        labels: class indices (*source).
        matrix: affine map that is still to be applied, or None: the source is the patch.
        centre: voxel of the source where the patch's centre lies.
        previous: how many of the last channels are labels that a previous stage predicted, one-hot.
        way: which of the ways of `Copies` this copy is varied in; None: it is the patch as it is.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.int16]
    matrix: NDArray[np.float64] | None
    centre: tuple[float, ...]
    previous: int = 0
    way: int | None = None


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
            image, label = sample_affine(image, label, sample.matrix, sample.centre, patch, sample.previous)
        image, label = _varied(image, label, transforms_of(transforms, sample.way), sample.previous, generator)
        images.append(image)
        labels.append(label)
    return Batch(torch.stack(images), torch.stack(labels))


def _varied(
    image: Tensor, label: Tensor, transforms: Sequence[Transform], previous: int, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """One sample with the transforms applied in their order."""
    visible = len(image) - previous
    outside = {id(one): _surroundings(image[list(one.channels)]) for one in transforms if isinstance(one, ZeroOutside)}
    for transform in transforms:
        match transform:
            case Spatial() | Batchgenerators() | Copies():
                pass  # the loader's
            case Mirror(axes=axes):
                flipped = [axis for axis in axes if generator.random() < 0.5]
                image, label = image.flip([axis + 1 for axis in flipped]), label.flip(flipped)
                outside = {key: mask.flip(flipped) for key, mask in outside.items()}
            case ZeroOutside(channels=channels):
                for channel in channels:
                    image[channel].masked_fill_(outside[id(transform)], 0)
            case PreviousBinary() | PreviousComponents():
                if previous and generator.random() < transform.probability:
                    PREVIOUS[transform.kind](image[visible:], transform, generator)
            case _:
                if generator.random() < transform.probability:
                    INTENSITY[transform.kind](image[:visible], transform, generator)
    return image, label


def _surroundings(channels: Tensor) -> Tensor:
    """Where all channels are 0, and are so at the next voxel along each axis, too; (*patch), bool.

    Within an object a single voxel may be 0 by chance, but not all of its neighbours.
    """
    empty = channels.abs().amax(0) < NEARLY_ZERO
    inner = empty.clone()
    for axis, size in enumerate(empty.shape):
        for to, at in ((0, 1), (1, 0)):
            inner.narrow(axis, to, size - 1).logical_and_(empty.narrow(axis, at, size - 1))
    return inner
