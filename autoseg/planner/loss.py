"""What training minimises."""

from __future__ import annotations

from autoseg.plan.loss import BinaryCrossEntropy, CrossEntropy, LossTerm, SoftDice
from autoseg.planner.decided import Decided


def loss_terms(dimensions: int, regions: int, low_resolution: bool) -> Decided[tuple[LossTerm, ...]]:
    """Cross-entropy plus soft Dice, one to one.

    Dice is taken over the whole batch where many patches lack some label: in slices, and in
    patches of images so large that a network at a lower resolution would pay.

    Args:
        dimensions: of the stage.
        regions: how many overlapping regions are segmented; 0 where labels exclude each other.
        low_resolution: such a network would pay.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, Methods; batch Dice as in nnU-Net v2.
    """
    over_batch = dimensions == 2 or low_resolution
    entropy: LossTerm = BinaryCrossEntropy() if regions else CrossEntropy()
    kind = f"The {regions} regions may overlap, so each has" if regions else "Labels exclude each other, so they share"
    alternative = "Dice would be computed for each patch"
    if dimensions == 2:
        alternative += " in a stage of volumes whose patches show much of an image."
        why = "over the batch, because many slices (or 2-D images) lack some label"
    elif low_resolution:
        alternative += " if patches showed so much of the images that a stage at a lower resolution would not pay."
        why = "over the batch, because patches are small parts of the images and often lack some label"
    else:
        alternative = (
            "Dice would be computed over the batch if patches showed so little of the images that a stage at a lower "
            "resolution would pay."
        )
        why = "for each patch, because patches show much of an image"
    reason = f"{kind} a cross-entropy. Soft Dice is added, computed {why}."
    facts = {"dimensions": dimensions, "regions": regions, "low_resolution_pays": low_resolution}
    return Decided((entropy, SoftDice(over_batch=over_batch)), "loss_terms", facts, reason, alternative)
