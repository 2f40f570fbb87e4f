"""How the patches that show foreground are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from autoseg.fingerprint.model import LabelFacts
from autoseg.phrases import percent
from autoseg.planner.decided import Decided

RARE_SHARE_OF_CASES = 0.5  # a label in fewer cases is rare
RARE_SHARE_OF_VOXELS = 0.01  # and so is one with fewer voxels, as a share of the most frequent label's
MOST_NAMED = 3  # rare labels in a sentence

Foreground = Literal["by_case", "by_label"]


def foreground_sampling(labels: Mapping[str, LabelFacts]) -> Decided[Foreground]:
    """By label where some label is rare, else by case, as in nnU-Net.

    Drawn by case, a label in one case of ten is in fewer than one foreground patch of ten, whatever
    is drawn within that case. Drawn by label it gets as many as any other.

    A label with few voxels is rare even where many cases hold it. Patches that are centred on other
    things show a label about as often as it fills the images: one with less than a hundredth of the
    most frequent label's voxels is learnt from patches centred on it or not at all, so how many
    those are must not depend on the case that is drawn. (Where every case holds every label, the
    two ways draw alike.)

    Args:
        labels: name of a target → facts, as in the fingerprint; empty where they are not known.
    """
    present = {name: facts for name, facts in labels.items() if facts.voxels > 0}
    if not present:
        reason = "How often each label occurs is not known, so patches that are to show one are drawn as in nnU-Net."
        return Decided("by_case", "foreground_sampling", {"labels": len(labels)}, reason)
    largest = max(present, key=lambda name: present[name].voxels)
    few_voxels = RARE_SHARE_OF_VOXELS * present[largest].voxels
    rare = {
        name: {"share_of_cases": facts.share_of_cases, "voxels": facts.voxels}
        for name, facts in present.items()
        if facts.share_of_cases < RARE_SHARE_OF_CASES or facts.voxels < few_voxels
    }
    facts = {"labels": len(present), "most_voxels": present[largest].voxels, "rare": rare}
    if not rare:
        least = min(label.share_of_cases for label in present.values())
        where = "every case" if least == 1 else f"{percent(least)} of the cases or more"
        reason = (
            f"No label is rare: each is in {where}, and has at least {percent(RARE_SHARE_OF_VOXELS)} of the voxels of "
            f"'{largest}'. A patch that is to show a label comes from any case, and is centred on any label in it."
        )
        return Decided("by_case", "foreground_sampling", facts, reason, _compared(present, "by_case"))
    why = [_why(name, present, largest) for name in list(rare)[:MOST_NAMED]]
    more = f", and {len(rare) - MOST_NAMED} more labels are rare" if len(rare) > MOST_NAMED else ""
    reason = (
        f"{'; '.join(why)}{more}. So a patch that is to show a label is centred on any of the labels, in any case that "
        "holds it."
    )
    return Decided("by_label", "foreground_sampling", facts, reason, _compared(present, "by_label"))


def _why(name: str, labels: Mapping[str, LabelFacts], largest: str) -> str:
    facts = labels[name]
    if facts.share_of_cases < RARE_SHARE_OF_CASES:
        return f"'{name}' is in {percent(facts.share_of_cases)} of the cases"
    share = percent(facts.voxels / labels[largest].voxels)
    return f"'{name}' has {facts.voxels:,} voxels in all, {share} of those of '{largest}'"


def _compared(labels: Mapping[str, LabelFacts], chosen: Foreground) -> str:
    """What the other way would have meant for the label that the draw by case shows least."""
    if all(facts.share_of_cases == 1 for facts in labels.values()):
        other = "by case" if chosen == "by_label" else "by label"
        return f"Every case holds every label, so drawing {other} would come to the same."
    shares = _shares_by_case(labels)
    least = min(shares, key=lambda name: shares[name])
    by_case, by_label = percent(shares[least]), percent(1 / len(labels))
    if chosen == "by_label":
        return f"Drawn by case, about {by_case} of these patches would be for '{least}'; now it is {by_label}."
    return f"Drawn by label, {by_label} of these patches would be for '{least}'; now it is about {by_case}."


def _shares_by_case(labels: Mapping[str, LabelFacts]) -> dict[str, float]:
    """The share of foreground patches each label gets when drawn by case, if labels occur independently.

    A label is drawn if the case holds it, and then is one of the 1 + k labels that are there.
    """
    shares = {}
    for name, facts in labels.items():
        others = [other.share_of_cases for another, other in labels.items() if another != name]
        shares[name] = facts.share_of_cases * sum(chance / (1 + k) for k, chance in enumerate(_how_many(others)))
    return shares


def _how_many(probabilities: Sequence[float]) -> list[float]:
    """The probability that 0, 1, 2, … of several independent things happen.

    >>> _how_many([0.5, 0.5])
    [0.25, 0.5, 0.25]
    """
    counts = [1.0]
    for happens in probabilities:
        without, after = [*counts, 0.0], [0.0, *counts]
        counts = [(1 - happens) * no + happens * yes for no, yes in zip(without, after, strict=True)]
    return counts
