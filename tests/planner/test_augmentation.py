"""Transforms by patch."""

from __future__ import annotations

import pytest

from autoseg.plan.augmentation import Range, ZeroOutside
from autoseg.plan.preprocessing import ZScore
from autoseg.planner.augmentation import augmentation


@pytest.mark.parametrize(
    ("patch_size", "degrees", "in_plane"),
    [
        ((128, 128, 128), [30, 30, 30], False),
        ((64, 192, 192), [30, 30, 30], False),  # exactly 3 times
        ((63, 192, 192), [180], True),
        ((10, 256, 224), [180], True),
        ((512, 512), [180], False),
        ((60, 40), [180], False),  # exactly 1.5 times
        ((64, 40), [15], False),
        ((40, 64), [15], False),
    ],
)
def test_rotation(patch_size, degrees, in_plane):
    spatial, *_, low_resolution, _, _, _ = augmentation(patch_size, (0, 1)).value
    assert [(r.low, r.high) for r in spatial.rotation_degrees] == [(-d, d) for d in degrees]
    assert (spatial.in_plane, low_resolution.in_plane) == (in_plane, in_plane)


def test_order_and_probabilities_are_nnunets():
    transforms = augmentation((128, 128, 128), (0, 1, 2)).value
    found = [(t.kind, getattr(t, "probability", None)) for t in transforms]
    assert found == [
        ("spatial", None),
        ("noise", 0.1),
        ("blur", 0.2),
        ("brightness", 0.15),
        ("contrast", 0.15),
        ("low_resolution", 0.25),
        ("gamma", 0.1),
        ("gamma", 0.3),
        ("mirror", None),
    ]
    assert [transforms[6].inverted, transforms[7].inverted] == [True, False]
    assert transforms[0].rotation_probability == transforms[0].scale_probability == 0.2
    assert (transforms[0].scale.low, transforms[0].scale.high) == (0.7, 1.4)
    assert transforms[-1].axes == (0, 1, 2)


def test_nothing_to_mirror():
    assert "mirror" not in [transform.kind for transform in augmentation((64, 64), ()).value]


def test_surroundings_that_normalisation_left_at_0_stay_0():
    inside, whole = ZScore(inside_mask=True), ZScore()
    found = augmentation((64, 64), (0, 1), normalisation=(inside, whole, inside))
    assert found.value[-1] == ZeroOutside(channels=(0, 2))
    assert found.facts["zero_outside"] == (0, 2)
    assert found.reason.endswith(" The surroundings, which normalisation left at 0, stay 0.")
    assert augmentation((64, 64), (0, 1), normalisation=(whole,)).value[-1].kind == "mirror"


def test_what_another_stage_predicted_is_varied_last():
    found = augmentation((64, 64, 64), (0,), normalisation=(ZScore(inside_mask=True),), refines=True)
    assert [one.kind for one in found.value[-4:]] == [
        "mirror",
        "zero_outside",
        "previous_binary",
        "previous_components",
    ]
    binary, components = found.value[-2:]
    assert (binary.probability, binary.label_probability, binary.radius) == (0.4, 0.5, Range(low=1, high=8))
    assert (components.probability, components.label_probability, components.largest_share) == (0.2, 0.5, 0.15)


def test_in_a_short_training_what_another_stage_predicted_stays_as_it_is():
    found = augmentation((64, 64, 64), (), short=True, refines=True)
    assert found.value == augmentation((64, 64, 64), ()).value
    assert found.reason.endswith("is left as it is, so that a short training learns to rely on it.")


def test_reason():
    assert augmentation((10, 256, 224), (0, 1, 2)).reason == (
        "nnU-Net's variations of shape and intensity. The patch is 10 × 256 × 224 voxels: it has few slices, so it is "
        "turned and scaled only within slices, by any angle."
    )


@pytest.mark.parametrize(
    ("patch_size", "degrees"), [((64, 64), 30.0), ((16, 64, 64), 30.0), ((40, 56, 40), 30.0), ((64, 32), 15.0)]
)
def test_upright_patients_are_turned_a_little(patch_size, degrees):
    spatial = augmentation(patch_size, (), upright=True).value[0]
    assert {(limits.low, limits.high) for limits in spatial.rotation_degrees} == {(-degrees, degrees)}
