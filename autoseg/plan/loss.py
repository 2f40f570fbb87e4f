"""The part of a plan that says what is minimised: a weighted sum of terms.

The outputs of a network are classes that exclude each other (softmax) or, where the dataset has regions, those, which
may overlap (sigmoid). Terms name both by their names in the dataset.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from autoseg.dataset.labels import Labels
from autoseg.frozen import Frozen


def _checked(over: Any) -> Any:
    """One message instead of one for each way to say it."""
    names = over if isinstance(over, list | tuple) and over else [None]
    united = [name if isinstance(name, list | tuple) else [name] for name in names]
    if over not in ("foreground", "all") and not all(one and all(isinstance(n, str) for n in one) for one in united):
        raise ValueError(
            f'found {over!r}; give "foreground", "all", or a list of labels, several of which may be taken as one: '
            '["tumour", ["kidney", "tumour"]]'
        )
    return over


Over = Annotated[Literal["foreground", "all"] | tuple[str | tuple[str, ...], ...], BeforeValidator(_checked)]
MOST_WEIGHT = 1e6
Weights = dict[str, Annotated[float, Field(ge=0, le=MOST_WEIGHT)]]


class Term(Frozen):
    """What all terms have.

    Attributes:
        weight: that the term is multiplied by.
        weights: label or region → what it counts; 1 where it is not named.
    """

    kind: str
    weight: float = Field(default=1.0, gt=0, le=MOST_WEIGHT)
    weights: Weights = {}


class CrossEntropy(Term):
    """Cross-entropy over classes that exclude each other (softmax)."""

    kind: Literal["cross_entropy"] = "cross_entropy"


class BinaryCrossEntropy(Term):
    """Cross-entropy over regions that may overlap (sigmoid)."""

    kind: Literal["binary_cross_entropy"] = "binary_cross_entropy"


class Focal(Term):
    """Cross-entropy in which voxels that are almost right count little (doi:10.1109/ICCV.2017.324).

    Attributes:
        gamma: how fast a voxel's weight (1 - p) ** gamma falls with the probability p of what is true.
    """

    kind: Literal["focal"] = "focal"
    gamma: float = Field(default=2.0, ge=1)


class TopKCrossEntropy(Term):
    """Cross-entropy of the voxels that are furthest from right (doi:10.48550/arXiv.1605.06885).

    Attributes:
        share: of the annotated voxels that counts.
    """

    kind: Literal["top_k_cross_entropy"] = "top_k_cross_entropy"
    share: float = Field(default=0.1, gt=0, le=1)


class Overlap(Term):
    """What all terms have that compare a label's probabilities with its voxels as a whole.

    Attributes:
        over: what is averaged over. "foreground": each label but the background, or each region; "all": the
            background, too; or names, several of which may be taken as one: ["tumour", ["kidney", "tumour"]].
            To weigh labels that are taken as one, give them a term of their own.
        over_batch: sum over the batch before dividing, so that a patch without the label counts
            for little; otherwise each patch has its own ratio.
        smooth: added to numerator and denominator.
    """

    over: Over = "foreground"
    over_batch: bool = False
    smooth: float = Field(default=1e-5, ge=0)


class SoftDice(Overlap):
    """One minus the soft Dice (doi:10.1109/3DV.2016.79).

    Attributes:
        squared: the denominator adds up squares, as in V-Net.
        ratio: "each": every label has its Dice, and they are averaged; "joint": numerators and denominators are added
            up over the labels before they are divided; "generalised": likewise, each label weighted by its volume to
            the power of -2 (doi:10.1007/978-3-319-67558-9_28).
    """

    kind: Literal["dice"] = "dice"
    squared: bool = False
    ratio: Literal["each", "joint", "generalised"] = "each"


class SoftJaccard(Overlap):
    """One minus the soft Jaccard index (intersection over union; doi:10.1007/978-3-319-50835-1_22)."""

    kind: Literal["jaccard"] = "jaccard"


class Tversky(Overlap):
    """One minus the Tversky index (doi:10.1007/978-3-319-67389-9_44); alpha = beta = 0.5 is the Dice.

    Attributes:
        alpha: what false positives count.
        beta: what false negatives count.
    """

    kind: Literal["tversky"] = "tversky"
    alpha: float = Field(default=0.3, ge=0)
    beta: float = Field(default=0.7, ge=0)


class SurfaceDice(Overlap):
    """One minus the soft Dice of the bands around the surfaces.

    Attributes:
        tolerance_voxels: what lies that near to a surface belongs to its band; diagonal neighbours are one voxel apart.
    """

    kind: Literal["surface_dice"] = "surface_dice"
    tolerance_voxels: int = Field(default=1, ge=1)


class Boundary(Term):
    """Probabilities times the signed distance from the true surface (doi:10.1016/j.media.2020.101851).

    It is below 0 where the prediction is good, and grows with the patch; its authors add it to an overlap term with a
    small weight.

    Attributes:
        over: as of the overlap terms.
    """

    kind: Literal["boundary"] = "boundary"
    over: Over = "foreground"


LossTerm = Annotated[
    CrossEntropy
    | BinaryCrossEntropy
    | Focal
    | TopKCrossEntropy
    | SoftDice
    | SoftJaccard
    | Tversky
    | SurfaceDice
    | Boundary,
    Field(discriminator="kind"),
]


def misfits(terms: Sequence[LossTerm], labels: Labels) -> Iterator[str]:
    """What in the terms does not fit a dataset, each with its place.

    Args:
        terms: of a stage.
        labels: of the dataset.

    >>> labels = Labels(values={"background": 0, "kidney": 1, "tumour": 2})
    >>> next(misfits([SoftDice(over=["tumor"])], labels))
    "0.over: the dataset has no label 'tumor' (it has background, kidney, tumour); did you mean 'tumour'?"
    """
    for place, term in enumerate(terms):
        if labels.regions and isinstance(term, CrossEntropy):
            yield (
                f"{place}: cross_entropy is for classes that exclude each other, and this dataset's regions overlap; "
                "take binary_cross_entropy"
            )
        over = term.over if isinstance(term, Overlap | Boundary) else "all"
        yield from (f"{place}.over: {fault}" for fault in _misnamed(over, labels))
        yield from (f"{place}.weights: {fault}" for fault in _misweighted(term, over, labels))


def named(over: Over, labels: Labels) -> tuple[tuple[str, ...], ...]:
    """The labels or regions that a term is over, each with those that it is taken as one with.

    >>> labels = Labels(values={"background": 0, "kidney": 1, "tumour": 2})
    >>> named("foreground", labels), named(["tumour", ["kidney", "tumour"]], labels)
    ((('kidney',), ('tumour',)), (('tumour',), ('kidney', 'tumour')))
    """
    if over == "foreground":
        return tuple((name,) for name in labels.targets)
    if over == "all":
        return tuple((name,) for name in output_names(labels))
    return tuple((name,) if isinstance(name, str) else tuple(name) for name in over)


def output_names(labels: Labels) -> tuple[str, ...]:
    """What the outputs of a network are, in their order: regions, or classes with the background first."""
    by_value = {value: name for name, value in labels.values.items()}
    return tuple(labels.regions) or tuple(by_value[value] for value in labels.classes)


def _misnamed(over: Over, labels: Labels) -> Iterator[str]:
    for united in named(over, labels):
        yield from _unknown(united, output_names(labels), labels)
        if len(set(united)) < len(united):
            yield f"{' + '.join(united)} names a label twice"
        elif labels.regions and len(united) > 1:
            yield f"{' + '.join(united)} are taken as one, but regions overlap; declare their union as a region"


def _misweighted(term: Term, over: Over, labels: Labels) -> Iterator[str]:
    single = [united[0] for united in named(over, labels) if len(united) == 1]
    united = [names for names in named(over, labels) if len(names) > 1]
    yield from _unknown([name for name in term.weights if name not in single], output_names(labels), labels)
    for name in term.weights:
        if name in output_names(labels) and name not in single:
            yield f"'{name}' is not what the term is over"
    if not united and all(term.weights.get(name, 1.0) == 0 for name in single):
        yield "every label weighs 0, so nothing would be learnt"


def _unknown(names: Sequence[str], known: Sequence[str], labels: Labels) -> Iterator[str]:
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            meant = f"; did you mean '{close[0]}'?" if close else ""
            what = "region" if labels.regions else "label"
            yield f"the dataset has no {what} '{name}' (it has {', '.join(known)}){meant}"
