"""The part of a plan that says what is minimised: a weighted sum of terms."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from autoseg.frozen import Frozen


class CrossEntropy(Frozen):
    """Cross-entropy over classes that exclude each other (softmax)."""

    kind: Literal["cross_entropy"] = "cross_entropy"
    weight: float = 1.0


class BinaryCrossEntropy(Frozen):
    """Cross-entropy over regions that may overlap (sigmoid)."""

    kind: Literal["binary_cross_entropy"] = "binary_cross_entropy"
    weight: float = 1.0


class SoftDice(Frozen):
    """One minus the soft Dice, averaged over the foreground.

    Attributes:
        over_batch: sum over the batch before dividing, so that a patch without the label counts
            for little; otherwise each patch has its own Dice.
        smooth: added to numerator and denominator.
    """

    kind: Literal["dice"] = "dice"
    weight: float = 1.0
    over_batch: bool = False
    smooth: float = Field(default=1e-5, ge=0)


LossTerm = Annotated[CrossEntropy | BinaryCrossEntropy | SoftDice, Field(discriminator="kind")]
