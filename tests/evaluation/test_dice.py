"""Dice, against hand-worked cases, the definition in sets, and MONAI."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.dataset.labels import Labels, Region
from autoseg.errors import DatasetError
from autoseg.evaluation import dice, dice_per_target

KIDNEY = Labels(values={"background": 0, "kidney": 1, "tumour": 2})
ANY_INTEGERS = Labels(values={"background": 0, "liver": 500, "spleen": -3}, ignore=255)
REGIONS = Labels(
    values={"background": 0, "oedema": 1, "core": 2, "enhancing": 3},
    regions={
        "whole": Region(values=(1, 2, 3), paint=1),
        "tumour": Region(values=(2, 3), paint=2),
        "enhancing": Region(values=(3,), paint=3),
    },
)


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        ("....", "....", None),  # nothing to find, nothing found: not counted
        ("#...", "....", 0.0),  # found what is not there
        ("....", "#...", 0.0),  # missed
        ("#...", "#...", 1.0),  # one voxel
        ("#...", ".#..", 0.0),
        ("##..", ".##.", 0.5),
        ("####", "#...", 0.4),
    ],
)
def test_dice_of_two_masks(prediction: str, reference: str, expected: float | None) -> None:
    found = dice(*(np.array([sign == "#" for sign in mask]) for mask in (prediction, reference)))
    assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("labels", "prediction", "reference", "expected"),
    [
        pytest.param(KIDNEY, [0, 0, 0], [0, 0, 0], {"kidney": None, "tumour": None}, id="both empty"),
        pytest.param(KIDNEY, [0, 1, 1], [0, 1, 0], {"kidney": 2 / 3, "tumour": None}, id="one target absent"),
        pytest.param(KIDNEY, [2, 2, 1], [1, 2, 1], {"kidney": 2 / 3, "tumour": 2 / 3}, id="confused labels"),
        pytest.param(KIDNEY, [0, 2, 0], [0, 0, 1], {"kidney": 0.0, "tumour": 0.0}, id="false on both sides"),
        pytest.param(
            ANY_INTEGERS, [500, 500, -3, 0], [500, 255, 255, 255], {"spleen": None, "liver": 1.0}, id="ignored voxels"
        ),
        pytest.param(
            ANY_INTEGERS, [255, 500, 0, 0], [500, 500, 0, 0], {"spleen": None, "liver": 2 / 3}, id="ignore predicted"
        ),
        pytest.param(
            REGIONS, [1, 2, 3, 3], [1, 3, 3, 0], {"whole": 6 / 7, "tumour": 4 / 5, "enhancing": 1 / 2}, id="nested"
        ),
        pytest.param(
            REGIONS,
            [1, 0, 0, 0],
            [1, 0, 0, 0],
            {"whole": 1.0, "tumour": None, "enhancing": None},
            id="outer region only",
        ),
    ],
)
def test_dice_per_target(
    labels: Labels, prediction: list[int], reference: list[int], expected: dict[str, float | None]
) -> None:
    found = dice_per_target(np.array([[prediction]]), np.array([[reference]]), labels)
    assert found == pytest.approx(expected)
    assert list(found) == list(labels.targets)


def test_predicted_region_is_read_from_what_it_was_painted_with() -> None:
    """As a predictor does: paint the regions in order, then score against base labels."""
    reference = np.array([[[0, 1, 2, 3, 3]]])
    painted = np.zeros_like(reference)
    for region in REGIONS.regions.values():
        painted[np.isin(reference, region.values)] = region.paint
    assert dice_per_target(painted, reference, REGIONS) == {"whole": 1.0, "tumour": 1.0, "enhancing": 1.0}


@given(seed=st.integers(0, 2**32 - 1), labels=st.sampled_from([KIDNEY, ANY_INTEGERS, REGIONS]))
def test_equals_dice_of_each_mask_apart(seed: int, labels: Labels) -> None:
    generator = np.random.default_rng(seed)
    values = [*labels.values.values(), *([] if labels.ignore is None else [labels.ignore])]
    prediction = generator.choice(list(labels.values.values()), (3, 4, 5))
    reference = generator.choice(values, (3, 4, 5))
    annotated = reference != labels.ignore
    expected = {
        target: dice(np.isin(prediction, members) & annotated, np.isin(reference, members) & annotated)
        for target, members in labels.targets.items()
    }
    assert dice_per_target(prediction, reference, labels) == pytest.approx(expected)


def test_equals_monai() -> None:
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    labels = Labels(values={"background": 0, **{f"organ {value}": value for value in range(1, 7)}})
    prediction, reference = generator.integers(0, 6, (2, 8, 9, 10))  # organ 6 is in neither
    prediction[prediction == 4] = 0  # organ 4 is only in the reference
    one_hot = [
        torch.from_numpy(np.stack([label_map == value for value in range(7)])[None].astype(np.float32))
        for label_map in (prediction, reference)
    ]
    expected = metrics.compute_dice(*one_hot, include_background=False, ignore_empty=True)[0].tolist()
    found = dice_per_target(prediction, reference, labels)
    assert [np.nan if score is None else score for score in found.values()] == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("prediction", "reference", "message"),
    [
        ([0, 7], [0, 1], "in the prediction, the label map holds value 7, which the dataset does not declare"),
        ([0, 1], [9, 8], "in the reference, the label map holds values 8, 9, which the dataset does not declare"),
    ],
)
def test_values_that_are_no_label(prediction: list[int], reference: list[int], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        dice_per_target(np.array(prediction), np.array(reference), KIDNEY)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"prediction \(2,\) and reference \(1,\) differ in shape"):
        dice(np.zeros(2, bool), np.zeros(1, bool))
