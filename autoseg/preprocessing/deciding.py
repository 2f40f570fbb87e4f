"""What a voxel is, decided by what networks say of it.

Comes in: scores, or probabilities, a class or a region after the other. Goes out: file values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch

from autoseg.dataset.labels import Labels


def decide(channels: Iterable[torch.Tensor], labels: Labels, even: float) -> torch.Tensor:
    """The class with the largest score, of equal ones the smallest; or every region whose score is above even.

    One channel at a time is looked at, so all of them need not be in memory.

    Args:
        channels: a score a class, or a region, each of the same shape.
        labels: what the channels mean.
        even: the score at which a region is as likely as not: 0 for logits, 0.5 for probabilities.

    Returns:
        File values, int32, of the same shape.

    >>> labels = Labels(values={"background": 0, "kidney": 3})
    >>> decide(torch.tensor([[0.9, 0.5, 0.1], [0.1, 0.5, 0.9]]), labels, even=0.5).tolist()
    [0, 0, 3]
    """
    return _paint_regions(iter(channels), labels, even) if labels.regions else _largest_class(iter(channels), labels)


def _largest_class(channels: Iterator[torch.Tensor], labels: Labels) -> torch.Tensor:
    """Compares one channel after the other with the largest so far."""
    largest = next(channels)
    winner = torch.zeros(largest.shape, dtype=torch.int32, device=largest.device)
    for value, channel in zip(labels.classes[1:], channels, strict=True):
        winner.masked_fill_(channel > largest, value)
        largest = torch.maximum(largest, channel)
    return winner


def _paint_regions(channels: Iterator[torch.Tensor], labels: Labels, even: float) -> torch.Tensor:
    painted = None
    for region, channel in zip(labels.regions.values(), channels, strict=True):
        if painted is None:
            painted = torch.zeros(channel.shape, dtype=torch.int32, device=channel.device)
        painted.masked_fill_(channel > even, region.paint)
    assert painted is not None
    return painted
