"""The loss of a plan, put together from its terms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from autoseg.dataset.labels import Labels
from autoseg.plan.loss import (
    BinaryCrossEntropy,
    Boundary,
    CrossEntropy,
    Focal,
    LossTerm,
    Overlap,
    SoftDice,
    SoftJaccard,
    SurfaceDice,
    TopKCrossEntropy,
    Tversky,
    named,
    output_names,
)
from autoseg.training.losses.overlap import Compared, soft_dice, soft_jaccard, tversky
from autoseg.training.losses.surfaces import boundary, surface_dice
from autoseg.training.losses.target import Target, make_target
from autoseg.training.losses.voxels import binary_cross_entropy, cross_entropy, focal, top_k_cross_entropy

Loss = Callable[[Tensor, Tensor], Tensor]  # (logits, class indices) → a number
_OfVoxels = CrossEntropy | BinaryCrossEntropy | Focal | TopKCrossEntropy
_OfLabels = SoftDice | SoftJaccard | Tversky | SurfaceDice | Boundary


class _Chosen(NamedTuple):
    """What a term is over: groups of outputs that are taken as one, and what each weighs; None where all weigh 1."""

    groups: tuple[tuple[int, ...], ...]
    weights: tuple[float, ...] | None


def build_loss(terms: Sequence[LossTerm], labels: Labels) -> Loss:
    """The weighted sum of the terms.

    Args:
        terms: from the plan.
        labels: decide whether outputs are classes (softmax) or regions (sigmoid), and which is which.
    """
    overlapping = bool(labels.regions)
    chosen = [_choose(term, labels) for term in terms]

    def loss(logits: Tensor, classes: Tensor) -> Tensor:
        logits = logits.float()
        target = make_target(classes, labels)
        probabilities = None  # several terms may share them
        parts = []
        for term, over in zip(terms, chosen, strict=True):
            if isinstance(term, Overlap | Boundary):
                if probabilities is None:
                    probabilities = logits.sigmoid() if overlapping else logits.softmax(1)
                part = _of_labels(term, _compare(probabilities, target, over))
            else:
                part = _of_voxels(term, logits, target, overlapping, over.weights)
            parts.append(term.weight * part)
        return torch.stack(parts).sum()

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


def _choose(term: LossTerm, labels: Labels) -> _Chosen:
    outputs = output_names(labels)
    names = named(term.over if isinstance(term, Overlap | Boundary) else "all", labels)
    groups = tuple(tuple(outputs.index(name) for name in united) for united in names)
    weights = tuple(term.weights.get(united[0], 1.0) if len(united) == 1 else 1.0 for united in names)
    return _Chosen(groups, None if set(weights) == {1.0} else weights)


def _of_voxels(
    term: _OfVoxels, logits: Tensor, target: Target, overlapping: bool, weights: Sequence[float] | None
) -> Tensor:
    match term:
        case CrossEntropy():
            return cross_entropy(logits, target, weights)
        case BinaryCrossEntropy():
            return binary_cross_entropy(logits, target, weights)
        case Focal(gamma=gamma):
            return focal(logits, target, overlapping, gamma, weights)
        case TopKCrossEntropy(share=share):
            return top_k_cross_entropy(logits, target, overlapping, share, weights)


def _of_labels(term: _OfLabels, compared: Compared) -> Tensor:
    match term:
        case SoftDice():
            return soft_dice(compared, term)
        case SoftJaccard():
            return soft_jaccard(compared, term)
        case Tversky():
            return tversky(compared, term)
        case SurfaceDice():
            return surface_dice(compared, term)
        case Boundary():
            return boundary(compared)


def _compare(probabilities: Tensor, target: Target, chosen: _Chosen) -> Compared:
    """Of outputs taken as one, the probability, and the truth, is the sum: classes exclude each other."""
    probabilities, shares = (_united(maps, chosen.groups) for maps in (probabilities, target.shares))
    return Compared(probabilities, shares, target.annotated, chosen.weights)


def _united(maps: Tensor, groups: Sequence[tuple[int, ...]]) -> Tensor:
    first = groups[0][0]
    if groups == tuple((first + place,) for place in range(len(groups))):
        return maps[:, first : first + len(groups)]  # nothing is copied
    return torch.stack([maps[:, list(group)].sum(1) for group in groups], dim=1)
