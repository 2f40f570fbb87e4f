"""Whole cases: which targets, which voxels, which axes; against hand-worked maps, each mask apart, and MONAI."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage as ndi

from autoseg.dataset.labels import Labels, Region
from autoseg.errors import DatasetError
from autoseg.evaluation import Measures, measure_case, scored_targets
from autoseg.evaluation.measures import Scale, measure_masks

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
SPACING_MM = (3.0, 0.8, 0.5)


def measured(
    prediction: NDArray[np.integer],
    reference: NDArray[np.integer],
    labels: Labels = KIDNEY,
    spacing_mm: tuple[float, ...] = SPACING_MM,
) -> dict[str, Measures]:
    return measure_case(prediction, reference, labels, labels.targets, spacing_mm, tolerance_mm=1.0)


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
def test_dice(labels: Labels, prediction: list[int], reference: list[int], expected: dict[str, float | None]) -> None:
    found = measured(np.array([[prediction]]), np.array([[reference]]), labels)
    assert {target: one.dice for target, one in found.items()} == pytest.approx(expected)
    assert list(found) == list(labels.targets)


def test_predicted_region_is_read_from_what_it_was_painted_with() -> None:
    """As a predictor does: paint the regions in order, then score against base labels."""
    reference = np.array([[[0, 1, 2, 3, 3]]])
    painted = np.zeros_like(reference)
    for region in REGIONS.regions.values():
        painted[np.isin(reference, region.values)] = region.paint
    found = measured(painted, reference, REGIONS)
    assert {target: one.dice for target, one in found.items()} == {"whole": 1.0, "tumour": 1.0, "enhancing": 1.0}


@settings(deadline=None)  # the first call loads libraries
@given(seed=st.integers(0, 2**32 - 1), labels=st.sampled_from([KIDNEY, ANY_INTEGERS, REGIONS]))
def test_equals_each_mask_measured_apart_on_the_whole_image(seed: int, labels: Labels) -> None:
    generator = np.random.default_rng(seed)
    values = [*labels.values.values(), *([] if labels.ignore is None else [labels.ignore])]
    chances = [0.8, *[0.2 / (len(values) - 1)] * (len(values) - 1)]
    prediction, reference = generator.choice(values, (2, 4, 5, 6), p=chances)
    annotated = reference != labels.ignore
    scale = Scale(SPACING_MM, 0.0012, 1.0, math.hypot(4 * 3.0, 5 * 0.8, 6 * 0.5))
    expected = {
        target: measure_masks(np.isin(prediction, members) & annotated, np.isin(reference, members) & annotated, scale)
        for target, members in labels.targets.items()
    }
    for target, one in measured(prediction, reference, labels).items():
        assert one.model_dump() == pytest.approx(expected[target].model_dump())


def test_equals_monai_on_many_labels() -> None:
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    torch.set_num_threads(1)
    labels = Labels(values={"background": 0, **{f"organ {value}": value for value in range(1, 7)}})
    noise = ndi.gaussian_filter(np.random.default_rng(0).standard_normal((2, 6, 12, 13, 14)), (0, 0, 1, 1, 1))
    prediction, reference = noise.argmax(axis=1)  # organ 6 is in neither
    prediction[prediction == 4] = 0  # organ 4 is only in the reference
    one_hot = [
        torch.from_numpy(np.stack([label_map == value for value in range(7)])[None].astype(np.float32))
        for label_map in (prediction, reference)
    ]
    found = measured(prediction, reference, labels)
    dice = metrics.compute_dice(*one_hot, include_background=False, ignore_empty=True)[0].tolist()
    assert [np.nan if one.dice is None else one.dice for one in found.values()] == pytest.approx(dice, nan_ok=True)
    present = [one[:, [1, 2, 3, 5]] for one in one_hot]
    given = {"include_background": True, "spacing": SPACING_MM}
    distances = {
        "hd95_mm": metrics.compute_hausdorff_distance(*present, percentile=95, **given),
        "assd_mm": metrics.compute_average_surface_distance(*present, symmetric=True, **given),
        "surface_dice": metrics.compute_surface_dice(*present, class_thresholds=[1.0] * 4, **given),
    }
    for name, expected in distances.items():
        ours = [getattr(found[f"organ {value}"], name) for value in (1, 2, 3, 5)]
        assert ours == pytest.approx(expected[0].tolist(), rel=1e-5)


def test_every_measure_of_a_case_worked_by_hand() -> None:
    """Two voxels of the kidney in line, one predicted beside them and one on them; 3 × 0.8 × 0.5 mm a voxel."""
    prediction, reference = np.zeros((2, 4, 6, 8), np.uint8)
    reference[1, 2, 3:5] = 1
    prediction[1, 2, 4:6] = 1
    assert measured(prediction, reference)["kidney"].model_dump() == pytest.approx(
        {
            "dice": 1 / 2,
            "iou": 1 / 3,
            "precision": 1 / 2,
            "recall": 1 / 2,
            "surface_dice": 1.0,
            "hd95_mm": 0.95 * 0.5,
            "assd_mm": 0.25,
            "predicted_ml": 2 * 3 * 0.8 * 0.5 / 1000,
            "true_ml": 2 * 3 * 0.8 * 0.5 / 1000,
            "volume_difference_ml": 0.0,
            "relative_volume_difference": 0.0,
            "lesion_f1": 1.0,
            "lesion_precision": 1.0,
            "lesion_recall": 1.0,
            "predicted_lesions": 1,
            "true_lesions": 1,
            "matched_lesions": 1,
        }
    )


def test_conventions_where_one_map_is_empty() -> None:
    empty, full = np.zeros((2, 3, 4), np.uint8), np.zeros((2, 3, 4), np.uint8)
    full[0, 0, :3] = 1
    diagonal_mm = (6.0**2 + 2.4**2 + 2.0**2) ** 0.5
    both = {"dice": 0, "iou": 0, "surface_dice": 0, "hd95_mm": diagonal_mm, "assd_mm": diagonal_mm, "lesion_f1": 0}
    missed = measured(empty, full)["kidney"].model_dump()
    assert {name: missed[name] for name in both} == pytest.approx(both)
    assert (missed["precision"], missed["recall"]) == (None, 0.0)
    assert (missed["lesion_precision"], missed["lesion_recall"]) == (None, 0.0)
    assert (missed["volume_difference_ml"], missed["relative_volume_difference"]) == pytest.approx((-0.0036, -1.0))
    invented = measured(full, empty)["kidney"].model_dump()
    assert {name: invented[name] for name in both} == pytest.approx(both)
    assert (invented["precision"], invented["recall"]) == (0.0, None)
    assert (invented["lesion_precision"], invented["lesion_recall"]) == (0.0, None)
    assert (invented["volume_difference_ml"], invented["relative_volume_difference"]) == (pytest.approx(0.0036), None)
    assert set(measured(empty, empty)["kidney"].model_dump().values()) == {None}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_axis_of_one_voxel_has_no_boundary(axis: int) -> None:
    """A picture: the inside of a square is inside, however thick the one slice is."""
    picture = np.zeros((2, 9, 10), np.uint8)
    picture[0, 2:7, 2:7] = picture[1, 1:8, 1:8] = 1
    spacing_mm = np.insert(np.array([0.5, 2.0]), axis, 30.0)
    found = measured(*np.expand_dims(picture, axis + 1), spacing_mm=tuple(spacing_mm))["kidney"]
    scale = Scale((0.5, 2.0), 0.03, 1.0, 0.0)
    assert found == measure_masks(*(picture == 1), scale)
    assert found.predicted_ml == pytest.approx(25 * 0.5 * 2 * 30 / 1000)


@pytest.mark.parametrize("shape", [(1, 1, 5), (1, 5, 1), (1, 1, 1)])
def test_images_of_a_line_or_a_point(shape: tuple[int, ...]) -> None:
    full = np.ones(shape, np.uint8)
    found = measured(full, full)["kidney"]
    assert (found.dice, found.surface_dice, found.hd95_mm, found.lesion_f1) == (1.0, 1.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("prediction", "reference", "message"),
    [
        ([0, 7], [0, 1], "in the prediction, the label map holds value 7, which the dataset does not declare"),
        ([0, 1], [9, 8], "in the reference, the label map holds values 8, 9, which the dataset does not declare"),
    ],
)
def test_values_that_are_no_label(prediction: list[int], reference: list[int], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        measured(np.array([[prediction]]), np.array([[reference]]))


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"prediction \(1, 1, 2\) and reference \(1, 2, 1\) differ in shape"):
        measured(np.zeros((1, 1, 2), int), np.zeros((1, 2, 1), int))


def test_a_region_asked_for() -> None:
    targets = scored_targets(KIDNEY, {"kidney and tumour": (1, 2)})
    maps = np.array([[[0, 2, 1, 1]]]), np.array([[[0, 1, 2, 0]]])
    found = measure_case(*maps, KIDNEY, targets, SPACING_MM, 1.0)
    assert {target: one.dice for target, one in found.items()} == pytest.approx(
        {"kidney": 0.0, "tumour": 0.0, "kidney and tumour": 4 / 5}
    )
