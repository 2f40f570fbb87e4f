"""Normalisation: nnU-Net's by the names of channels, ours by key, name or values."""

from __future__ import annotations

import pytest

from autoseg.fingerprint import ImageIntensities, Intensities
from autoseg.plan.plan import Budget, Decision
from autoseg.plan.preprocessing import CTWindow, DivideBy255, NoNormalisation, RescaleToUnit, ZScore
from autoseg.planner import derive_plan
from autoseg.planner.normalisation import argued_normalisation, normalisation, planned_without_images

FOREGROUND = Intensities(mean=100, median=99, std=77, min=-1000, max=3000, percentile_00_5=-79, percentile_99_5=304)
WINDOW = CTWindow(lower=-79, upper=304, mean=100, std=77)
PUBLISHED = CTWindow(lower=-79, upper=304, mean=101, std=76.9)  # KiTS19, doi:10.48550/arXiv.1908.02182
CT = ImageIntensities(min=-1024, max=3071, whole_numbers=1.0)
MR = ImageIntensities(min=0, max=1200, whole_numbers=0.5)


@pytest.mark.parametrize(
    ("channel", "relative_size", "expected"),
    [
        ("CT", 1.0, WINDOW),
        ("ct", 0.2, WINDOW),  # a CT's border is air, not nothing
        ("T1w", 1.0, ZScore()),
        ("T1w", 0.75, ZScore()),
        ("T1w", 0.74, ZScore(inside_mask=True)),
        ("CTA", 1.0, ZScore()),  # only the name itself
        ("noNorm", 0.2, NoNormalisation()),
        ("rescale_to_0_1", 0.2, RescaleToUnit()),
        ("rgb_to_0_1", 0.2, DivideBy255()),
    ],
)
def test_chosen_by_name(channel, relative_size, expected):
    assert normalisation([channel], [FOREGROUND], relative_size).value == (expected,)


def test_constant_foreground_can_be_divided_by():
    constant = FOREGROUND.model_copy(update={"std": 0.0})
    assert normalisation(["CT"], [constant], 1.0).value[0].std == 1e-8


def test_reason_speaks_of_every_channel():
    assert normalisation(["CT", "PET"], [FOREGROUND, FOREGROUND], 0.27).reason == (
        "CT: CT numbers mean the same in every scan, so all are clipped to -79 … 304, where 99 % of the labelled "
        "voxels lie, then shifted by their mean 100 and divided by their standard deviation 77. "
        "PET: Intensities have no fixed unit, so each image is scaled by its own mean and standard "
        "deviation; inside the non-zero region only, because that is 27 % of the median image."
    )


def test_nnunet_asks_neither_key_nor_values_nor_part_of_a_name():
    for name in ("0", "CT scan", "abdominal_ct", "none", "rgb", "zscore"):
        assert normalisation([name], [FOREGROUND], 1.0).value == (ZScore(),)


def test_nnunets_names_without_images():
    decided = normalisation(["CT", "T1"], [], 1.0)
    assert decided.value == (PUBLISHED, ZScore())
    assert "the published figures of kidneys and their tumours in KiTS19" in decided.reason
    assert decided.reason.endswith(
        "No intensities were measured, for there are no images: derive the plan again with the images, then train."
    )


@pytest.fixture
def facts(make_fingerprint):
    """(channels, keys, whole images, share left after the crop) → a fingerprint."""

    def make(channels=("image",), keys=None, images=(), kept=1.0):
        made = make_fingerprint([(1, 1, 1)] * 6, [(60, 60, 60)] * 6, channels=channels, relative_size=kept)
        described = made.dataset.model_copy(update={"normalisation": keys})
        update = {"dataset": described, "image_intensities": tuple(images)}
        return made.model_copy(update={**update, "intensities": (FOREGROUND,) * len(channels)})

    return make


@pytest.mark.parametrize(
    ("channel", "key", "image", "expected", "by"),
    [
        # the key before all
        ("CT", "zscore", CT, ZScore(), "key"),
        ("T1", "ct", MR, WINDOW, "key"),
        ("0", "none", CT, NoNormalisation(), "key"),
        ("0", "rescale_0_1", CT, RescaleToUnit(), "key"),
        ("0", "rgb", CT, DivideBy255(), "key"),
        # the name before the values
        ("CT", None, MR, WINDOW, "name"),
        ("abdominal_ct", None, CT, WINDOW, "name"),
        ("CTA", None, None, WINDOW, "name"),
        ("T1w", None, CT, ZScore(), "name"),
        ("noNorm", None, CT, NoNormalisation(), "name"),
        ("rescale_to_0_1", None, CT, RescaleToUnit(), "name"),
        ("RGB_to_0_1", None, CT, DivideBy255(), "name"),
        # the values where the name is silent, or says both
        ("0", None, CT, WINDOW, "values"),
        ("image", None, MR, ZScore(), "values"),
        ("CT_CBF", None, MR, ZScore(), "values"),
        ("PET/CT", None, CT, WINDOW, "values"),
        # and neither
        ("scan", None, None, ZScore(), "nothing"),
    ],
)
def test_key_then_name_then_values(facts, channel, key, image, expected, by):
    decided = argued_normalisation(facts((channel,), (key,), (image,) if image else ()))
    assert decided.value == (expected,)
    assert decided.facts["decided_by"] == [by]
    assert decided.alternative


def told(fingerprint):
    decided = argued_normalisation(fingerprint)
    return decided.reason, decided.alternative


def test_the_reason_of_a_key(facts):
    reason, alternative = told(facts(("T1",), ("none",), (MR,)))
    assert reason == "dataset.json asks for 'none' (key normalization). Intensities are left as they are."
    assert alternative == "Without the key it would be 'zscore', by its name."
    assert told(facts(("0",), ("none",)))[1] == (
        "Without the key it would be 'zscore', for want of a telling name and of values."
    )


def test_the_reason_of_values(facts):
    reason, alternative = told(facts(("image",), None, (CT,)))
    assert reason == (
        "The channel's name, 'image', does not tell a CT from other images, but its values do: the median image spans "
        "-1024 … 3071, whole numbers in 100 % of the cases, as Hounsfield units do. It is a CT. "
        "CT numbers mean the same in every scan, so all are clipped to -79 … 304, where 99 % of the labelled voxels "
        "lie, then shifted by their mean 100 and divided by their standard deviation 77."
    )
    assert alternative == (
        "Were it no CT, each image would be scaled by its own mean and standard deviation, and the same tissue would "
        "have another value in each."
    )
    reason, alternative = told(facts(("image",), None, (MR,)))
    assert reason.startswith(
        "The channel's name, 'image', does not tell a CT from other images, but its values do: the median image spans "
        "0 … 1200, whole numbers in 50 % of the cases. These are no Hounsfield units. Intensities have no fixed unit,"
    )
    assert alternative == (
        "It would be a CT, with one window for all, if whole images began between -3100 and -900 (they begin at 0) "
        "and ended above 300 (they end at 1200), in whole numbers."
    )


def test_a_name_that_the_values_contradict_is_believed_and_told(facts):
    assert told(facts(("CT",), None, (MR,)))[0].startswith(
        "The channel's name, 'CT', says that it is a CT, although the median image spans 0 … 1200, whole numbers in "
        "50 % of the cases. CT numbers mean the same"
    )


def test_the_nearest_other_choice_of_a_zscore(facts):
    reason, alternative = told(facts(("T1",), kept=0.27))
    assert reason == (
        "The channel's name, 'T1', says that it is no CT. Intensities have no fixed unit, so each image is scaled by "
        "its own mean and standard deviation; inside the non-zero region only, because that is 27 % of the median "
        "image."
    )
    assert alternative == (
        "Both would be taken over the whole image, if cropping left 75 % or more of the median image; it leaves 27 %."
    )
    without = facts(("T1",)).model_copy(update={"intensities": ()})
    assert told(without)[1] == (
        "Both would be taken over the non-zero region alone, if cropping left less than 75 % of the median image; how "
        "much it leaves was not measured."
    )


def test_channels_are_told_apart(facts):
    decided = argued_normalisation(facts(("CT", "PET"), (None, "none"), (CT, MR)))
    assert decided.value == (WINDOW, NoNormalisation())
    assert decided.reason.startswith("CT: The name says that it is a CT. CT numbers")
    assert "PET: dataset.json asks for 'none' (key normalization)." in decided.reason
    assert decided.alternative.endswith("PET: Without the key it would be 'zscore', by its name.")


def test_channels_that_are_alike_are_told_together(facts):
    reason, alternative = told(facts(("T1", "T2"), kept=0.27))
    assert reason.startswith("T1, T2: The name says that it is no CT. Intensities have no fixed unit, so each image")
    assert reason.count("The name") == 1
    assert alternative.startswith("T1, T2: Both would be taken over the whole image")


@pytest.mark.parametrize(
    ("channel", "key", "expected"),
    [("CT", None, PUBLISHED), ("0", "ct", PUBLISHED), ("T1", None, ZScore()), ("0", None, ZScore())],
)
def test_without_images(facts, channel, key, expected):
    decided = argued_normalisation(facts((channel,), (key,)).model_copy(update={"intensities": ()}))
    assert decided.value == (expected,)
    assert decided.reason.endswith(
        "No intensities were measured, for there are no images: derive the plan again with the images, then train."
    )
    assert decided.facts["foreground_intensities"] == "not measured, there are no images"


def test_a_plan_made_without_images_is_known(facts, hippocampus, unasked):
    plan = derive_plan(hippocampus, Budget(memory_gb=8), unasked)
    assert not planned_without_images(plan)
    for fingerprint, expected in ((facts(), False), (facts().model_copy(update={"intensities": ()}), True)):
        decided = argued_normalisation(fingerprint)
        decision = Decision(value=None, rule=decided.rule, facts=decided.facts, reason=decided.reason)
        decisions = {**plan.decisions, "stages.2d.preprocessing.normalisation": decision}
        assert planned_without_images(plan.model_copy(update={"decisions": decisions})) is expected
