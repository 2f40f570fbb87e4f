"""How the intensities of each channel are brought to a common scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from autoseg.dataset.description import Scheme
from autoseg.dataset.normalisation import SCHEMES
from autoseg.fingerprint.model import Fingerprint, ImageIntensities, Intensities
from autoseg.phrases import number, percent
from autoseg.plan.plan import Plan
from autoseg.plan.preprocessing import CTWindow, DivideBy255, NoNormalisation, Normalisation, RescaleToUnit, ZScore
from autoseg.planner.decided import Decided
from autoseg.planner.modality import AIR, BONE, in_hounsfield_units, named_as

MOSTLY_BORDER = 0.75  # cropping leaves less than this: intensities are judged inside the non-zero region

# For a CT whose intensities were not measured: those of the kidneys and tumours of KiTS19.
# Source: Isensee & Maier-Hein 2019, doi:10.48550/arXiv.1908.02182.
PUBLISHED_WINDOW = CTWindow(lower=-79.0, upper=304.0, mean=101.0, std=76.9)

NOT_MEASURED = "not measured, there are no images"
REPEAT = "No intensities were measured, for there are no images: derive the plan again with the images, then train."

NNUNET_NAMES = ("ct", "nonorm", "rescale_to_0_1", "rgb_to_0_1")  # by which nnU-Net chooses; all other names: z-score


def normalisation(
    channels: Sequence[str], intensities: Sequence[Intensities], median_relative_size: float
) -> Decided[tuple[Normalisation, ...]]:
    """nnU-Net's choice: one normalisation a channel by the channel's name, whatever its case.

    "CT" has calibrated units: one window for all images. "noNorm", "rescale_to_0_1" and
    "rgb_to_0_1" ask for what they say. Any other name: each image's own mean and deviation.

    Args:
        channels: their names.
        intensities: of each channel, over the dataset's foreground; empty where there are no images.
        median_relative_size: of the images after cropping to the non-zero region, 0…1.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, Methods; names as in nnU-Net v2.
    """
    measured = intensities or (None,) * len(channels)
    schemes = [_nnunet_scheme(name) for name in channels]
    chosen = [
        _normalisation(scheme, facts, median_relative_size) for scheme, facts in zip(schemes, measured, strict=True)
    ]
    sentences = [
        _sentence(how, facts is not None, median_relative_size) for how, facts in zip(chosen, measured, strict=True)
    ]
    reason = _by_channel(channels, sentences)
    facts = _facts(channels, intensities, median_relative_size)
    return Decided(tuple(chosen), "normalisation", facts, reason if intensities else f"{reason} {REPEAT}")


def argued_normalisation(fingerprint: Fingerprint) -> Decided[tuple[Normalisation, ...]]:
    """Our choice: one normalisation a channel by what the dataset asks for, else its name, else its values.

    A key `normalization` in dataset.json wins. Without it a name that contains the word CT is a CT, and
    one that contains another modality is not, nnU-Net's names mean what they mean there. Where the name
    is silent ("image", "0") or says both, whole numbers that begin with air and go beyond bone are a CT.

    A CT gets one window for all images, from the foreground; if there are no images to measure it on,
    the published one of KiTS19.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, Methods, for what each kind of image gets.
    """
    kept, channels = fingerprint.median_relative_size, fingerprint.dataset.channels
    asked = fingerprint.dataset.normalisation or (None,) * len(channels)
    measured = fingerprint.intensities or (None,) * len(channels)
    images = fingerprint.image_intensities or (None,) * len(channels)
    choices = [_choose(*channel) for channel in zip(channels, asked, images, strict=True)]
    chosen = [_normalisation(choice.scheme, of, kept) for choice, of in zip(choices, measured, strict=True)]
    sentences, alternatives = [], []
    for name, choice, how, of, image in zip(channels, choices, chosen, measured, images, strict=True):
        why = choice.why.replace(f"The channel's name, '{name}',", "The name") if len(channels) > 1 else choice.why
        sentences.append(f"{why} {_sentence(how, of is not None, kept)}")
        alternatives.append(_alternative(choice, how, name, image, kept if fingerprint.has_images else None))
    facts = {
        **_facts(channels, fingerprint.intensities, kept),
        "asked_for": asked,
        "whole_images": [of.model_dump() for of in images if of] or "not measured",
        "decided_by": [choice.by for choice in choices],
    }
    reason = _by_channel(channels, sentences) + ("" if fingerprint.has_images else f" {REPEAT}")
    return Decided(tuple(chosen), "argued_normalisation", facts, reason, _by_channel(channels, alternatives))


def planned_without_images(plan: Plan) -> bool:
    """Whether some stage's normalisation was derived from label maps alone: such a plan is not to be trained by.

    It stays so where a part of the normalisation was set by hand.
    """
    return any(
        ".preprocessing.normalisation" in path and decision.facts.get("foreground_intensities") == NOT_MEASURED
        for path, decision in plan.decisions.items()
    )


class _Choice(NamedTuple):
    """A scheme, what decided (key, name, values, or nothing), and a sentence that says so."""

    scheme: Scheme
    by: str
    why: str


def _choose(channel: str, asked: Scheme | None, image: ImageIntensities | None) -> _Choice:
    """What decides about one channel, and what it decides."""
    if asked is not None:
        return _Choice(asked, "key", f"dataset.json asks for '{asked}' (key normalization).")
    says, scheme = named_as(channel), _nnunet_scheme(channel)
    if says == "CT":
        doubt = f", although {_seen(image)}" if image and not in_hounsfield_units(image) else ""
        return _Choice("ct", "name", f"The channel's name, '{channel}', says that it is a CT{doubt}.")
    if scheme != "zscore":
        return _Choice(scheme, "name", f"The channel's name, '{channel}', says how.")
    if says == "other":
        return _Choice("zscore", "name", f"The channel's name, '{channel}', says that it is no CT.")
    tells = "names a CT and something else" if says == "both" else "does not tell a CT from other images"
    silent = f"The channel's name, '{channel}', {tells}"
    if image is None:
        return _Choice("zscore", "nothing", f"{silent}, and no values were measured that could: it is taken for no CT.")
    if in_hounsfield_units(image):
        return _Choice(
            "ct", "values", f"{silent}, but its values do: {_seen(image)}, as Hounsfield units do. It is a CT."
        )
    return _Choice("zscore", "values", f"{silent}, but its values do: {_seen(image)}. These are no Hounsfield units.")


def _alternative(
    choice: _Choice, how: Normalisation, channel: str, image: ImageIntensities | None, kept: float | None
) -> str:
    """What the nearest other choice would have been, and when; `kept` is None where it was not measured."""
    if choice.by == "key":
        other = _choose(channel, None, image)
        by = "for want of a telling name and of values" if other.by == "nothing" else f"by its {other.by}"
        return f"Without the key it would be '{other.scheme}', {by}."
    if isinstance(how, CTWindow):
        return (
            "Were it no CT, each image would be scaled by its own mean and standard deviation, and the same tissue "
            "would have another value in each."
        )
    if choice.by == "values" and image:
        return (
            f"It would be a CT, with one window for all, if whole images began between {AIR[0]:g} and {AIR[1]:g} (they "
            f"begin at {number(image.min)}) and ended above {BONE[0]:g} (they end at {number(image.max)}), in whole "
            "numbers."
        )
    if isinstance(how, ZScore):
        where = "whole image" if how.inside_mask else "non-zero region alone"
        share = "75 % or more" if how.inside_mask else "less than 75 %"
        leaves = "how much it leaves was not measured" if kept is None else f"it leaves {percent(kept)}"
        return f"Both would be taken over the {where}, if cropping left {share} of the median image; {leaves}."
    return "Without that name, each image would be scaled by its own mean and standard deviation."


def _seen(image: ImageIntensities) -> str:
    numbers = f"whole numbers in {percent(image.whole_numbers)} of the cases"
    return f"the median image spans {number(image.min)} … {number(image.max)}, {numbers}"


def _nnunet_scheme(channel: str) -> Scheme:
    name = channel.casefold()
    return SCHEMES[name] if name in NNUNET_NAMES else "zscore"


def _normalisation(scheme: Scheme, foreground: Intensities | None, median_relative_size: float) -> Normalisation:
    match scheme:
        case "ct":
            if foreground is None:
                return PUBLISHED_WINDOW
            return CTWindow(
                lower=foreground.percentile_00_5,
                upper=foreground.percentile_99_5,
                mean=foreground.mean,
                std=max(foreground.std, 1e-8),
            )
        case "none":
            return NoNormalisation()
        case "rescale_0_1":
            return RescaleToUnit()
        case "rgb":
            return DivideBy255()
        case "zscore":
            return ZScore(inside_mask=median_relative_size < MOSTLY_BORDER)


def _facts(channels: Sequence[str], intensities: Sequence[Intensities], median_relative_size: float) -> dict[str, Any]:
    return {
        "channels": tuple(channels),
        "foreground_intensities": [channel.model_dump() for channel in intensities] or NOT_MEASURED,
        "median_relative_size": median_relative_size if intensities else NOT_MEASURED,
    }


def _by_channel(channels: Sequence[str], sentences: Sequence[str]) -> str:
    """What is said of each channel, and once where the same is said of several.

    >>> _by_channel(["T1", "CT", "T2"], ["Scaled.", "Clipped.", "Scaled."])
    'T1, T2: Scaled. CT: Clipped.'
    >>> _by_channel(["T1"], ["Scaled."])
    'Scaled.'
    """
    if len(channels) == 1:
        return sentences[0]
    alike: dict[str, list[str]] = {}
    for name, sentence in zip(channels, sentences, strict=True):
        alike.setdefault(sentence, []).append(name)
    return " ".join(f"{', '.join(names)}: {sentence}" for sentence, names in alike.items())


def _sentence(how: Normalisation, measured: bool, median_relative_size: float) -> str:
    match how:
        case CTWindow(lower=lower, upper=upper, mean=mean, std=std) if not measured:
            return (
                f"CT numbers mean the same in every scan, so all are clipped to {number(lower)} … {number(upper)}, "
                f"shifted by {number(mean)} and divided by {number(std)}: the published figures of kidneys and their "
                "tumours in KiTS19 (doi:10.48550/arXiv.1908.02182), in place of those of this dataset."
            )
        case CTWindow(lower=lower, upper=upper, mean=mean, std=std):
            return (
                f"CT numbers mean the same in every scan, so all are clipped to {number(lower)} … {number(upper)}, "
                f"where 99 % of the labelled voxels lie, then shifted by their mean {number(mean)} and divided by "
                f"their standard deviation {number(std)}."
            )
        case ZScore(inside_mask=True):
            return (
                "Intensities have no fixed unit, so each image is scaled by its own mean and standard deviation; "
                f"inside the non-zero region only, because that is {percent(median_relative_size)} of the median image."
            )
        case ZScore():
            return "Intensities have no fixed unit, so each image is scaled by its own mean and standard deviation."
        case RescaleToUnit():
            return "Each image is mapped to 0 … 1 by its own smallest and largest value."
        case DivideBy255():
            return "Colours of 0 … 255 are divided by 255."
        case NoNormalisation():
            return "Intensities are left as they are."
