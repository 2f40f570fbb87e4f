"""The loss a plan describes: a weighted sum of terms over classes or regions.

Comes in: logits (batch, outputs, *axes) and class indices (batch, *axes). Goes out: one number.
Voxels of `IGNORE_CLASS` count in no term.

Source of the combination: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z; of the soft Dice:
Milletari et al. 2016, doi:10.1109/3DV.2016.79.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from autoseg.dataset.labels import IGNORE_CLASS, Labels
from autoseg.plan.loss import BinaryCrossEntropy, CrossEntropy, LossTerm, SoftDice

Loss = Callable[[Tensor, Tensor], Tensor]  # (logits, class indices) → a number


class Target(NamedTuple):
    """What logits are compared with.

    Attributes:
        classes: class indices (batch, *axes), int64.
        shares: what each output channel should be, (batch, outputs, *axes), 0 or 1.
        annotated: (batch, 1, *axes), 1 where the voxel counts.
    """

    classes: Tensor
    shares: Tensor
    annotated: Tensor


def build_loss(terms: Sequence[LossTerm], labels: Labels) -> Loss:
    """The weighted sum of the terms.

    Args:
        terms: from the plan.
        labels: decide whether outputs are classes (softmax) or regions (sigmoid).
    """
    regions = labels.target_classes if labels.regions else None

    def loss(logits: Tensor, classes: Tensor) -> Tensor:
        logits = logits.float()
        target = make_target(classes, labels.outputs, regions)
        return torch.stack([term.weight * _term(term, logits, target, regions is not None) for term in terms]).sum()

    return loss


def deep_loss(loss: Loss, outputs: Sequence[Tensor], classes: Tensor) -> Tensor:
    """The loss over resolutions, full resolution first: weights 1, ½, ¼, … that add up to 1.

    Args:
        outputs: logits (batch, outputs, *axes) at falling resolution.
        classes: class indices (batch, *axes) at full resolution; lower ones take the nearest voxel.
    """
    weights = [0.5**level for level in range(len(outputs))]
    total = outputs[0].new_zeros((), dtype=torch.float32)
    for weight, logits in zip(weights, outputs, strict=True):
        shape = logits.shape[2:]
        at_level = classes
        if shape != classes.shape[1:]:
            at_level = functional.interpolate(classes[:, None].float(), shape, mode="nearest-exact")[:, 0]
        total = total + weight / sum(weights) * loss(logits, at_level)
    return total


def make_target(classes: Tensor, outputs: int, regions: Mapping[str, tuple[int, ...]] | None) -> Target:
    """Class indices → what each output channel should be."""
    classes = classes.long()
    annotated = (classes != IGNORE_CLASS)[:, None]
    known = classes.clamp(min=0)
    if regions is None:
        shares = torch.zeros((len(classes), outputs, *classes.shape[1:]), device=classes.device)
        shares.scatter_(1, known[:, None], 1.0)
    else:
        members = [torch.isin(known, torch.tensor(inside, device=classes.device)) for inside in regions.values()]
        shares = torch.stack(members, dim=1).float()
    return Target(classes, shares * annotated, annotated.float())


def _term(term: LossTerm, logits: Tensor, target: Target, overlapping: bool) -> Tensor:
    match term:
        case CrossEntropy():
            return cross_entropy(logits, target)
        case BinaryCrossEntropy():
            return binary_cross_entropy(logits, target)
        case SoftDice():
            probabilities = logits.sigmoid() if overlapping else logits.softmax(1)
            first = 0 if overlapping else 1  # the background has no Dice of its own
            return soft_dice(probabilities[:, first:], target.shares[:, first:], target.annotated, term)


def cross_entropy(logits: Tensor, target: Target) -> Tensor:
    """Mean over the annotated voxels of -log of the softmax probability of the true class; 0 if there are none."""
    losses = functional.cross_entropy(logits, target.classes, ignore_index=IGNORE_CLASS, reduction="sum")
    return losses / target.annotated.sum().clamp(min=1)


def binary_cross_entropy(logits: Tensor, target: Target) -> Tensor:
    """Mean over the annotated voxels and the regions of the binary cross-entropy; 0 if there are none."""
    losses = functional.binary_cross_entropy_with_logits(logits, target.shares, reduction="none")
    return (losses * target.annotated).sum() / (target.annotated.sum() * logits.shape[1]).clamp(min=1)


def soft_dice(probabilities: Tensor, shares: Tensor, annotated: Tensor, term: SoftDice) -> Tensor:
    """1 - mean over channels (and samples) of (2·Σpq + s) / (Σp + Σq + s).

    Args:
        probabilities: (batch, channels, *axes).
        shares: the truth, likewise, 0 or 1.
        annotated: (batch, 1, *axes).
        term: smoothing, and whether sums run over the batch.
    """
    axes = tuple(range(2, probabilities.dim()))
    over = (0, *axes) if term.over_batch else axes
    probabilities = probabilities * annotated
    overlap = (probabilities * shares).sum(over)
    size = probabilities.sum(over) + shares.sum(over)
    return 1 - ((2 * overlap + term.smooth) / (size + term.smooth).clamp(min=1e-8)).mean()
