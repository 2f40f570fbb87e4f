"""Terms that compare voxel by voxel: cross-entropies.

Comes in: logits and target. Goes out: the mean over the annotated voxels, and over the regions where there are any, of
each voxel's loss times what its class or region weighs; 0 where nothing is annotated. It is divided by the number of
voxels, not by the sum of their weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from autoseg.dataset.labels import IGNORE_CLASS
from autoseg.training.losses.target import Target
from autoseg.training.processes import total


def cross_entropy(logits: Tensor, target: Target, weights: Sequence[float] | None = None) -> Tensor:
    """Mean of -w·log p, p the softmax probability of the true class and w its weight.

    Args:
        logits: (batch, classes, *axes).
        target: what they should say.
        weights: of each class; None where all weigh 1.
    """
    losses = functional.cross_entropy(
        logits, target.classes, _tensor(weights, logits), ignore_index=IGNORE_CLASS, reduction="sum"
    )
    return total(losses) / total(target.annotated.sum()).clamp(min=1)


def binary_cross_entropy(logits: Tensor, target: Target, weights: Sequence[float] | None = None) -> Tensor:
    """Mean of -w·(q·log p + (1 - q)·log(1 - p)), p the sigmoid probability of a region and q the truth, 0 or 1.

    Args:
        logits: (batch, regions, *axes).
        target: what they should say.
        weights: of each region; None where all weigh 1.
    """
    losses = functional.binary_cross_entropy_with_logits(logits, target.shares, reduction="none")
    return _mean(_weighted(losses, target, weights), target)


def focal(
    logits: Tensor, target: Target, overlapping: bool, gamma: float, weights: Sequence[float] | None = None
) -> Tensor:
    """Mean of -w·(1 - p)^γ·log p, p the probability of what is true.

    Args:
        logits: (batch, outputs, *axes).
        target: what they should say.
        overlapping: outputs are regions (sigmoid), not classes (softmax).
        gamma: γ, 1 or more.
        weights: of each output; None where all weigh 1.

    Source: Lin et al. 2017, doi:10.1109/ICCV.2017.324.
    """
    losses = _losses(logits, target, overlapping)
    wrong = -torch.expm1(-losses)
    return _mean(_weighted(wrong**gamma * losses, target, weights), target)


def top_k_cross_entropy(
    logits: Tensor, target: Target, overlapping: bool, share: float, weights: Sequence[float] | None = None
) -> Tensor:
    """Mean cross-entropy of the share of the voxels where it is largest; with regions, of voxels of regions.

    Where several processes share a batch, each takes this share of its own voxels.

    Args:
        logits: (batch, outputs, *axes).
        target: what they should say.
        overlapping: outputs are regions (binary cross-entropy), not classes.
        share: of the annotated voxels, 0…1; rounded to voxels, one at least.
        weights: of each output; None where all weigh 1. They count in which is largest, too.

    Source: Wu et al. 2016, doi:10.48550/arXiv.1605.06885, online bootstrapping.
    """
    losses = _weighted(_losses(logits, target, overlapping), target, weights)
    known = target.annotated.expand_as(losses)
    most = max(1, round(share * losses.numel()))
    largest = torch.where(known > 0, losses, -1.0).flatten().topk(most).values.clamp(min=0)
    count = (share * known.sum()).round().clamp(1, most)  # a tensor: how many are annotated is not known before
    return total((largest * (torch.arange(most, device=logits.device) < count)).sum()) / total(count)


def _losses(logits: Tensor, target: Target, overlapping: bool) -> Tensor:
    """The cross-entropy of each voxel, (batch, 1 or regions, *axes)."""
    if overlapping:
        return functional.binary_cross_entropy_with_logits(logits, target.shares, reduction="none")
    return functional.cross_entropy(logits, target.classes, ignore_index=IGNORE_CLASS, reduction="none")[:, None]


def _weighted(losses: Tensor, target: Target, weights: Sequence[float] | None) -> Tensor:
    """Losses times the weight of their region, or of the voxel's class; 0 where nobody annotated."""
    losses = losses * target.annotated
    found = _tensor(weights, losses)
    if found is None:
        return losses
    if losses.shape[1] == target.shares.shape[1]:
        return losses * found.view(1, -1, *[1] * (losses.dim() - 2))
    return losses * found[target.classes.clamp(min=0)][:, None]


def _mean(losses: Tensor, target: Target) -> Tensor:
    return total(losses.sum()) / (total(target.annotated.sum()) * losses.shape[1]).clamp(min=1)


def _tensor(weights: Sequence[float] | None, like: Tensor) -> Tensor | None:
    return None if weights is None else like.new_tensor(weights)
