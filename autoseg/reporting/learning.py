"""How a network learns, in words: loss, optimiser, learning rate.

Comes in: values of a stage. Goes out: a line each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autoseg.phrases import counted, number, percent
from autoseg.plan.loss import (
    BinaryCrossEntropy,
    Boundary,
    CrossEntropy,
    Focal,
    LossTerm,
    Over,
    SoftDice,
    SoftJaccard,
    SurfaceDice,
    TopKCrossEntropy,
    Tversky,
)
from autoseg.plan.training import (
    QUANTITY_NAMES,
    SGD,
    Adam,
    AdamW,
    Average,
    Constant,
    Cosine,
    OneCycle,
    Optimizer,
    Poly,
    ReduceOnPlateau,
    Schedule,
    Stopping,
)


def minimised(terms: Sequence[LossTerm]) -> str:
    """The terms of a loss.

    >>> minimised([CrossEntropy(weights={"tumour": 1.5}), SoftDice(weight=0.5, over=["tumour", ["kidney", "tumour"]])])
    'cross-entropy (tumour × 1.5) + 0.5 × soft Dice of each patch (of tumour, kidney + tumour; smoothed by 0.00001)'
    """
    return " + ".join(f"{number(term.weight)} × {_term(term)}" if term.weight != 1 else _term(term) for term in terms)


def optimised(how: Optimizer) -> str:
    """What changes the weights."""
    rates = f"learning rate {number(how.learning_rate)}, weight decay {number(how.weight_decay)}"
    match how:
        case SGD(momentum=momentum):
            return f"gradient descent: momentum {number(momentum)}, {rates}"
        case Adam():
            return f"Adam: {rates} (in the gradient)"
        case AdamW():
            return f"AdamW: {rates}"


def scheduled(how: Schedule) -> str:
    """How the learning rate changes."""
    if isinstance(how, OneCycle):
        first, last = number(how.first_divisor), number(how.first_divisor * how.last_divisor)
        return f"rises for {percent(how.rising)} of the training from 1/{first} to the whole, then falls to 1/{last}"
    warm_up = f"; before that it rises for {percent(how.warm_up)} of the training" if how.warm_up else ""
    return _changes(how) + warm_up


def stopped(when: Stopping | None) -> str:
    """When a training ends early.

    >>> stopped(Stopping(patience=20, learning_rate=1e-6))
    'after 20 epochs in which the validation loss did not improve, or when the learning rate has fallen to 0.000001'
    """
    if when is None:
        return "none"
    conditions = []
    if when.patience is not None:
        conditions.append(f"after {_waiting(when.patience, QUANTITY_NAMES[when.quantity], when.tolerance)}")
    if when.learning_rate is not None:
        conditions.append(f"when the learning rate has fallen to {number(when.learning_rate)}")
    return ", or ".join(conditions)


def averaged(how: Average | None) -> str:
    """Whether an average of the weights is kept."""
    return "none" if how is None else f"kept; each step counts {number(1 - how.decay)} of it"


def _term(term: LossTerm) -> str:
    if isinstance(term, CrossEntropy | BinaryCrossEntropy | Focal | TopKCrossEntropy):
        weighed = _weighed(term.weights)
        return f"{_of_voxels(term)} ({weighed})" if weighed else _of_voxels(term)
    said = [_over(term.over), _weighed(term.weights)]
    if isinstance(term, Boundary):
        name = "signed distance from the surface"
    else:
        name = f"{_of_labels(term)} of {'the whole batch' if term.over_batch else 'each patch'}"
        said.append(f"smoothed by {number(term.smooth)}")
    details = "; ".join(part for part in said if part)
    return f"{name} ({details})" if details else name


def _of_voxels(term: CrossEntropy | BinaryCrossEntropy | Focal | TopKCrossEntropy) -> str:
    match term:
        case CrossEntropy():
            return "cross-entropy"
        case BinaryCrossEntropy():
            return "cross-entropy of each region"
        case Focal(gamma=gamma):
            return f"focal cross-entropy (gamma {number(gamma)})"
        case TopKCrossEntropy(share=share):
            return f"cross-entropy of the worst {percent(share)} of the voxels"


def _of_labels(term: SoftDice | SoftJaccard | Tversky | SurfaceDice) -> str:
    match term:
        case SoftDice(ratio=ratio, squared=squared):
            kinds = {"each": "soft Dice", "joint": "joint soft Dice", "generalised": "generalised Dice"}
            return f"{kinds[ratio]}{', denominator squared,' * squared}"
        case SoftJaccard():
            return "soft Jaccard index"
        case Tversky(alpha=alpha, beta=beta):
            return f"Tversky index (alpha {number(alpha)}, beta {number(beta)})"
        case SurfaceDice(tolerance_voxels=tolerance):
            return f"surface Dice (within {counted(tolerance, 'voxel')})"


def _over(over: Over) -> str:
    if over == "foreground":
        return ""
    if over == "all":
        return "of all classes"
    return "of " + ", ".join(name if isinstance(name, str) else " + ".join(name) for name in over)


def _weighed(weights: Mapping[str, float]) -> str:
    return ", ".join(f"{name} × {number(weight)}" for name, weight in weights.items())


def _changes(how: Constant | Poly | Cosine | ReduceOnPlateau) -> str:
    match how:
        case Constant():
            return "stays as it is"
        case Poly(power=power):
            return f"falls as (1 - progress) to the power of {number(power)}"
        case Cosine(minimum=minimum):
            return f"falls along half a cosine to {number(minimum)}"
        case ReduceOnPlateau():
            return _on_plateau(how)


def _on_plateau(how: ReduceOnPlateau) -> str:
    averaged = f"moving average (newest {percent(how.newest)}) of the " if how.newest < 1 else ""
    waiting = _waiting(how.patience, averaged + QUANTITY_NAMES[how.quantity], how.tolerance)
    lower = "".join(f"{number(one.factor)} below a mean Dice of {number(one.dice)}, " for one in how.factors_below)
    otherwise = " otherwise" if lower else ""
    return f"× {lower}{number(how.factor)}{otherwise} after {waiting}, down to {number(how.minimum)}"


def _waiting(patience: int, quantity: str, tolerance: float) -> str:
    more_than = f" by more than {number(tolerance)}" if tolerance else ""
    return f"{counted(patience, 'epoch')} in which the {quantity} did not improve{more_than}"
