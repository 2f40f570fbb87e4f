"""Terms that compare a label's probabilities with its voxels as a whole: Dice, Jaccard, Tversky.

Comes in: probabilities p and truth q of some labels. Goes out: one minus a ratio of their sums, averaged over labels
(and samples). A ratio of nothing to nothing is 1 where it is smoothed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from autoseg.plan.loss import Overlap, SoftDice, SoftJaccard, Tversky
from autoseg.training import processes

SMALLEST = 1e-8  # that a sum is divided by


class Compared(NamedTuple):
    """What a term is over.

    Attributes:
        probabilities: (batch, labels, *axes), 0…1.
        shares: the truth, likewise, 0 or 1; 0 where nobody annotated.
        annotated: (batch, 1, *axes), 1 where the voxel counts.
        weights: of the labels; None where all weigh 1.
    """

    probabilities: Tensor
    shares: Tensor
    annotated: Tensor
    weights: Sequence[float] | None


def soft_dice(compared: Compared, term: SoftDice) -> Tensor:
    """1 - mean over labels of (2·Σpq + s) / (Σp + Σq + s), s the smoothing.

    With squared denominators Σp² + Σq²; as one ratio (2·Σwpq + s) / (Σw(p + q) + s), where sums run over the labels,
    too. In the generalised Dice w falls with the square of a label's volume Σq. There w is 1 for the smallest label, so
    that the smoothing keeps its meaning, and for labels that are not there.

    Source: Milletari et al. 2016, doi:10.1109/3DV.2016.79; generalised: Sudre et al. 2017,
    doi:10.1007/978-3-319-67558-9_28.
    """
    shared, predicted, true = _sums(compared, term, squared=term.squared)
    if term.ratio == "each":
        return 1 - _mean(_ratio(2 * shared, predicted + true, term.smooth), compared.weights)
    weights = torch.ones_like(true) if compared.weights is None else true.new_tensor(compared.weights)
    if term.ratio == "generalised":
        smallest = torch.where(true > 0, true, torch.inf).amin(-1, keepdim=True)
        weights = weights * torch.where(true > 0, (smallest / true.clamp(min=1)) ** 2, 1.0)
    ratios = _ratio(2 * (weights * shared).sum(-1), (weights * (predicted + true)).sum(-1), term.smooth)
    return 1 - processes.mean(ratios)


def soft_jaccard(compared: Compared, term: SoftJaccard) -> Tensor:
    """1 - mean over labels of (Σpq + s) / (Σp + Σq - Σpq + s), s the smoothing.

    Source: Rahman and Wang 2016, doi:10.1007/978-3-319-50835-1_22.
    """
    shared, predicted, true = _sums(compared, term)
    return 1 - _mean(_ratio(shared, predicted + true - shared, term.smooth), compared.weights)


def tversky(compared: Compared, term: Tversky) -> Tensor:
    """1 - mean over labels of (Σpq + s) / (Σpq + α·Σp(1 - q) + β·Σ(1 - p)q + s), s the smoothing.

    Source: Salehi et al. 2017, doi:10.1007/978-3-319-67389-9_44.
    """
    shared, predicted, true = _sums(compared, term)
    missed = term.alpha * (predicted - shared) + term.beta * (true - shared)
    return 1 - _mean(_ratio(shared, shared + missed, term.smooth), compared.weights)


def _sums(compared: Compared, term: Overlap, squared: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Σpq, Σp and Σq over the annotated voxels of each patch, or of the batch: (batch, labels) or (labels,)."""
    axes = tuple(range(2, compared.shares.dim()))
    over = (0, *axes) if term.over_batch else axes
    probabilities = compared.probabilities * compared.annotated
    predicted = (probabilities**2).sum(over) if squared else probabilities.sum(over)
    sums = torch.stack(((probabilities * compared.shares).sum(over), predicted, compared.shares.sum(over)))
    shared, predicted, true = processes.total(sums) if term.over_batch else sums
    return shared, predicted, true


def _ratio(part: Tensor, whole: Tensor, smooth: float) -> Tensor:
    return (part + smooth) / (whole + smooth).clamp(min=SMALLEST)


def _mean(ratios: Tensor, weights: Sequence[float] | None) -> Tensor:
    """Over labels, by their weights, and samples."""
    if weights is None:
        return processes.mean(ratios)
    return processes.mean((ratios * ratios.new_tensor(weights)).sum(-1)) / sum(weights)
