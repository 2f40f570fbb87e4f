"""The way back: scores on the prepared grid become a label map on the image's own grid.

Comes in: the scores (logits) of a network, (outputs, z, y, x), on any device; the image's
`Placement`; the dataset's labels. Goes out: file values, or probabilities, on the native grid.

    resample → decide → order and orientation of axes undone → pasted into background
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from autoseg.dataset.labels import Labels
from autoseg.preprocessing.placement import Placement
from autoseg.preprocessing.resampling import resample

SCORE_ORDER = 1  # scores are interpolated linearly,
COARSE_SCORE_ORDER = 0  # and taken from the nearest slice along a coarse axis


def restore_labels(scores: torch.Tensor, placement: Placement, labels: Labels) -> NDArray[np.integer]:
    """Turns scores into a label map on the image's own grid.

    One score channel at a time is interpolated and compared with the largest so far (or, for
    regions, with 0), so the memory needed does not grow with the number of labels.

    Args:
        scores: (outputs, z, y, x), logits on the prepared grid: one a class, or one a region.
        placement: of the prepared image.
        labels: of the dataset.

    Returns:
        (z, y, x), file values, `labels.dtype()`; outside the crop 0. Ties go to the smaller class.
    """
    restored = _restored(scores, placement)
    decided = _paint_regions(restored, labels) if labels.regions else _largest_class(restored, labels)
    native = np.zeros(placement.native_shape, dtype=labels.dtype())
    placement.paste(decided.cpu().numpy().astype(native.dtype), native)
    return native


def restore_probabilities(scores: torch.Tensor, placement: Placement, labels: Labels) -> NDArray[np.float32]:
    """Turns scores into probabilities on the image's own grid. Holds all channels at once.

    Args:
        scores: (outputs, z, y, x), logits on the prepared grid: one a class, or one a region.
        placement: of the prepared image.
        labels: of the dataset.

    Returns:
        (outputs, z, y, x), float32. Classes add up to 1, and the outside of the crop is background.
    """
    restored = torch.stack(list(_restored(scores, placement)))
    probabilities = torch.sigmoid(restored) if labels.regions else torch.softmax(restored, dim=0)
    native = np.zeros((labels.outputs, *placement.native_shape), dtype=np.float32)
    if not labels.regions:
        native[0] = 1
    placement.paste(probabilities.cpu().numpy(), native)
    return native


def _restored(scores: torch.Tensor, placement: Placement) -> Iterator[torch.Tensor]:
    """One channel after the other, (z, y, x) in the array's order of axes, as many voxels as were cut out."""
    orders = placement.orders_back(SCORE_ORDER, COARSE_SCORE_ORDER)
    for channel in scores:
        yield resample(channel[None].float(), placement.cropped_shape, orders)[0]


def _largest_class(channels: Iterator[torch.Tensor], labels: Labels) -> torch.Tensor:
    largest = next(channels)
    winner = torch.zeros(largest.shape, dtype=torch.int32, device=largest.device)
    for value, channel in zip(labels.classes[1:], channels, strict=True):
        winner.masked_fill_(channel > largest, value)
        largest = torch.maximum(largest, channel)
    return winner


def _paint_regions(channels: Iterator[torch.Tensor], labels: Labels) -> torch.Tensor:
    painted = None
    for region, channel in zip(labels.regions.values(), channels, strict=True):
        if painted is None:
            painted = torch.zeros(channel.shape, dtype=torch.int32, device=channel.device)
        painted.masked_fill_(channel > 0, region.paint)
    assert painted is not None
    return painted
