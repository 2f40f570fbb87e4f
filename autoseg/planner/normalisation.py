"""How the intensities of each channel are brought to a common scale."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.fingerprint.model import Intensities
from autoseg.plan.preprocessing import CTWindow, DivideBy255, NoNormalisation, Normalisation, RescaleToUnit, ZScore
from autoseg.planner.decided import Decided

MOSTLY_BORDER = 0.75  # cropping leaves less than this: intensities are judged inside the non-zero region


def normalisation(
    channels: Sequence[str], intensities: Sequence[Intensities], median_relative_size: float
) -> Decided[tuple[Normalisation, ...]]:
    """One normalisation a channel, chosen by the channel's name, whatever its case.

    "CT" has calibrated units: one window for all images. "noNorm", "rescale_to_0_1" and
    "rgb_to_0_1" ask for what they say. Any other name: each image's own mean and deviation.

    Args:
        channels: their names.
        intensities: of each channel, over the dataset's foreground.
        median_relative_size: of the images after cropping to the non-zero region, 0…1.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, Methods; names as in nnU-Net v2.
    """
    chosen = [_choose(name, facts, median_relative_size) for name, facts in zip(channels, intensities, strict=True)]
    facts = {
        "channels": tuple(channels),
        "foreground_intensities": [channel.model_dump() for channel in intensities],
        "median_relative_size": median_relative_size,
    }
    reason = " ".join(
        f"{name}: {_sentence(how, median_relative_size)}" for name, how in zip(channels, chosen, strict=True)
    )
    return Decided(tuple(chosen), "normalisation", facts, reason)


def _choose(channel: str, facts: Intensities, median_relative_size: float) -> Normalisation:
    match channel.casefold():
        case "ct":
            return CTWindow(
                lower=facts.percentile_00_5,
                upper=facts.percentile_99_5,
                mean=facts.mean,
                std=max(facts.std, 1e-8),
            )
        case "nonorm":
            return NoNormalisation()
        case "rescale_to_0_1":
            return RescaleToUnit()
        case "rgb_to_0_1":
            return DivideBy255()
        case _:
            return ZScore(inside_mask=median_relative_size < MOSTLY_BORDER)


def _sentence(how: Normalisation, median_relative_size: float) -> str:
    match how:
        case CTWindow(lower=lower, upper=upper, mean=mean, std=std):
            return (
                f"CT numbers mean the same in every scan, so all are clipped to {lower:.4g} … {upper:.4g}, where 99 % "
                f"of the labelled voxels lie, then shifted by their mean {mean:.4g} and divided by their deviation "
                f"{std:.4g}."
            )
        case ZScore(inside_mask=True):
            return (
                "intensities have no fixed unit, so each image is scaled by its own mean and deviation; inside the "
                f"non-zero region only, because that is {100 * median_relative_size:.0f} % of the median image."
            )
        case ZScore():
            return "intensities have no fixed unit, so each image is scaled by its own mean and deviation."
        case RescaleToUnit():
            return "the name asks that each image is mapped to 0 … 1."
        case DivideBy255():
            return "the name says colours of 0 … 255; they are divided by 255."
        case NoNormalisation():
            return "the name asks that intensities are left as they are."
