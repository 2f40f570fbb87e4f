"""The part of a plan, or of a selection, that says what is done to a label map once it is predicted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from autoseg.frozen import Frozen


class KeepLargest(Frozen):
    """Keeps the largest connected components, and removes the others.

    Attributes:
        target: name of a label, or of a region where the dataset has regions; None for all foreground merged.
        count: how many are kept.
    """

    kind: Literal["keep_largest"] = "keep_largest"
    target: str | None = None
    count: int = Field(default=1, ge=1)


class RemoveSmall(Frozen):
    """Removes connected components below a volume.

    Attributes:
        target: as in `KeepLargest`.
        least_mm3: volume of the smallest component that stays.
    """

    kind: Literal["remove_small"] = "remove_small"
    target: str | None = None
    least_mm3: float = Field(gt=0)


class RemoveUncertain(Frozen):
    """Removes connected components whose mean probability is low: candidates that did not convince.

    Attributes:
        target: name of a label or region.
        least_probability: mean probability of the target, over the voxels of a component, with which it stays.
        becomes: name of the label or region that takes the place of what goes, as where a tumour that did not convince
            is the kidney it was sought in; None for what lies beneath.
    """

    kind: Literal["remove_uncertain"] = "remove_uncertain"
    target: str
    least_probability: float = Field(gt=0, le=1)
    becomes: str | None = None


class FillHoles(Frozen):
    """Fills background that a target encloses on all sides; other labels in a hole stay.

    Attributes:
        target: name of a label or region; a region is filled with the value it is painted with.
    """

    kind: Literal["fill_holes"] = "fill_holes"
    target: str


Rule = Annotated[KeepLargest | RemoveSmall | RemoveUncertain | FillHoles, Field(discriminator="kind")]


def names_in(rule: Rule) -> tuple[str, ...]:
    """The labels and regions that a rule names.

    >>> names_in(RemoveUncertain(target="tumour", least_probability=0.8, becomes="kidney")), names_in(KeepLargest())
    (('tumour', 'kidney'), ())
    """
    return tuple(name for name in (rule.target, getattr(rule, "becomes", None)) if name is not None)


def shared_rules(rules: Sequence[tuple[Rule, ...]]) -> tuple[Rule, ...]:
    """What is done to the label map that several stages decide together: the rules that are the same in each of them.

    >>> shared_rules([(KeepLargest(), FillHoles(target="kidney")), (KeepLargest(),)])
    (KeepLargest(kind='keep_largest', target=None, count=1),)
    """
    return tuple(rule for rule in rules[0] if all(rule in others for others in rules[1:]))


def needs_probabilities(rules: tuple[Rule, ...]) -> bool:
    """Whether rules look at more than the label map."""
    return any(isinstance(rule, RemoveUncertain) for rule in rules)


def rule_in_words(rule: Rule) -> str:
    """A rule as people say it.

    >>> rule_in_words(KeepLargest(count=2))
    'keep the 2 largest components of all foreground'
    """
    of = getattr(rule, "target", None) or "all foreground"
    match rule:
        case KeepLargest(count=1):
            return f"keep the largest component of {of}"
        case KeepLargest():
            return f"keep the {rule.count} largest components of {of}"
        case RemoveSmall():
            return f"remove components of {of} below {rule.least_mm3:g} mm³"
        case RemoveUncertain():
            removed = f"remove components of {of} below a mean probability of {rule.least_probability:g}"
            return removed + (f", which become {rule.becomes}" if rule.becomes else "")
        case FillHoles():
            return f"fill holes in {of}"
