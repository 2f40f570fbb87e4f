"""What a previous stage predicted is made worse, so that the stage that takes it as input learns to mend it.

Comes in: the one-hot channels of that prediction (labels, *patch), the plan's transform and a generator.
The channels are changed where they lie. Morphology is done with balls: a voxel is in the dilation by a
ball of radius r if its distance to the label is at most r, and squared distances are minima along one
axis after the other, exact in whole numbers, on any device.

Source: the cascade's augmentation of nnU-Net 2.8.1.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from autoseg.connected import connected_components
from autoseg.plan.augmentation import PreviousBinary, PreviousComponents

FAR = 127  # squared voxels; above the square of the largest radius, 10, and with it below 256


def change_borders(channels: Tensor, transform: PreviousBinary, generator: np.random.Generator) -> None:
    """Dilates, erodes, opens or closes drawn labels; a voxel that one gains is taken from the others."""
    for label in _drawn_labels(channels, transform.label_probability, generator):
        operation = OPERATIONS[int(generator.integers(len(OPERATIONS)))]
        before = channels[label] > 0
        after = operation(before, generator.uniform(transform.radius.low, transform.radius.high))
        channels.masked_fill_(after & ~before, 0)
        channels[label] = after.to(channels.dtype)


def drop_components(channels: Tensor, transform: PreviousComponents, generator: np.random.Generator) -> None:
    """Empties one connected component of each drawn label, if it is not large."""
    for label in _drawn_labels(channels, transform.label_probability, generator):
        components, _ = connected_components((channels[label] > 0).cpu().numpy())
        voxels = np.bincount(components.ravel())[1:]
        small = np.flatnonzero(voxels < transform.largest_share * components.size)
        if len(small):
            dropped = components == 1 + small[generator.integers(len(small))]
            channels[label].masked_fill_(torch.from_numpy(dropped).to(channels.device), 0)


def dilate(mask: Tensor, radius: float) -> Tensor:
    """Voxels no further than `radius` from the mask; (*patch), bool.

    >>> dilate(torch.tensor([[False, False, False, True]]), 2.5)
    tensor([[False,  True,  True,  True]])
    """
    distance = torch.where(mask, 0, FAR).to(torch.uint8)
    for axis, size in enumerate(mask.shape):
        nearest = distance.clone()
        for step in range(1, min(int(radius), size - 1) + 1):
            rest = size - step
            for to, at in ((0, step), (step, 0)):
                target = nearest.narrow(axis, to, rest)
                torch.minimum(target, distance.narrow(axis, at, rest) + step**2, out=target)
        distance = nearest
    return distance <= radius**2


def erode(mask: Tensor, radius: float) -> Tensor:
    """Voxels further than `radius` from all that is not in the mask; beyond the patch it goes on."""
    return ~dilate(~mask, radius)


def open_(mask: Tensor, radius: float) -> Tensor:
    """Erosion, then dilation."""
    return dilate(erode(mask, radius), radius)


def close(mask: Tensor, radius: float) -> Tensor:
    """Dilation, then erosion."""
    return erode(dilate(mask, radius), radius)


OPERATIONS = (dilate, erode, open_, close)


def _drawn_labels(channels: Tensor, probability: float, generator: np.random.Generator) -> Iterator[int]:
    """Labels in an order that is drawn: one may take voxels of another."""
    for label in generator.permutation(len(channels)).tolist():
        if generator.random() < probability:
            yield label
