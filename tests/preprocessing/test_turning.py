"""One patient, stored in every way a file can be: prepared alike, and predicted on the file's own grid."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from autoseg.dataset import Case, Dataset, Description, Image, Labels, read_image, read_label_map
from autoseg.geometry import Grid, plain_grid
from autoseg.plan.preprocessing import NoNormalisation, Preprocessing, ZScore
from autoseg.preprocessing import (
    Placement,
    prepare_dataset,
    prepare_image,
    prepare_labels,
)

CODES = ["".join(code) for axes in permutations(("RL", "AP", "IS")) for code in product(*axes)]
LABELS = Labels(values={"background": 0, "kidney": 10, "tumour": 20})
SPACING = (2.0, 1.0, 0.5)  # of the patient as "LPS", (z, y, x)
SHAPE = (5, 7, 9)


def patient():
    """As "LPS": noise within a border of zeros that is different on every side, and labels."""
    generator = np.random.default_rng(0)
    image = np.zeros(SHAPE, dtype=np.float32)
    image[1:5, 0:5, 2:8] = generator.uniform(50, 150, size=(4, 5, 6))
    return image, generator.choice([0, 10, 20], size=SHAPE).astype(np.uint8)


def stored(array, code, tilt=None):
    """The patient's voxels as SimpleITK stores them in an orientation; `tilt` turns the patient in the scanner."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING[::-1])
    image.SetOrigin((-31.0, 12.5, 7.25))
    image = sitk.DICOMOrient(image, code)
    if tilt is not None:
        image.SetDirection(np.ravel(tilt @ np.reshape(image.GetDirection(), (3, 3))))
    return image


def read(image):
    """What `read_image` makes of the file."""
    grid = Grid(
        image.GetSize()[::-1], image.GetSpacing()[::-1], image.GetOrigin(), image.GetDirection(), image.GetDimension()
    )
    return Image(sitk.GetArrayFromImage(image)[None].astype(np.float32), grid)


def plan(orientation, spacing_mm=SPACING, **changes):
    return Preprocessing(orientation=orientation, spacing_mm=spacing_mm, normalisation=(NoNormalisation(),), **changes)


def one_hot(classes):
    """Scores that say of each voxel what its class is."""
    return torch.nn.functional.one_hot(torch.from_numpy(classes).long(), 3).permute(3, 0, 1, 2).float()


def test_by_hand():
    """Index x of the file grows to the right, y to the front: both run backwards, z does not."""
    file = np.arange(1, 9, dtype=np.float32).reshape(1, 2, 2, 2)
    grid = plain_grid((2, 2, 2), (1.0, 1.0, 1.0))._replace(direction=(-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0))
    array, placement = prepare_image(Image(file, grid), plan("LPS", (1.0, 1.0, 1.0)))
    assert array.tolist() == [[[[4, 3], [2, 1]], [[8, 7], [6, 5]]]]
    assert (placement.axis_order, placement.reversed) == ((0, 1, 2), (False, True, True))


def test_sagittal_slices_by_hand():
    """The file's z runs to the right, x to the back, y upwards ("PSR"): x of "LPS" is the file's z, backwards."""
    file = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4) + 1  # 2 slices from left to right, 3 rows, 4 columns
    grid = Grid((2, 3, 4), (9.0, 2.0, 1.0), (0.0,) * 3, (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    array, placement = prepare_image(Image(file, grid), plan("LPS", (2.0, 1.0, 9.0)))
    assert array.shape == (1, 3, 4, 2)
    assert array[0, 2, 3].tolist() == [24, 12]  # the top row's last voxel: right slice first
    assert (placement.axis_order, placement.reversed) == ((1, 2, 0), (False, False, True))


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(
    ("wanted", "changes"),
    [
        pytest.param("LPS", {}, id="LPS"),
        pytest.param("RAS", {}, id="RAS"),
        pytest.param("IPR", {"spacing_mm": (0.5, 1.0, 2.0)}, id="IPR"),
        pytest.param("LPS", {"axis_order": (2, 0, 1), "spacing_mm": (0.5, 2.0, 1.0)}, id="LPS, x first"),
        pytest.param("LPS", {"crop_to_nonzero": False}, id="LPS, whole"),
    ],
)
def test_every_orientation_prepares_to_what_simpleitk_turns_it_to(code, wanted, changes):
    image, label_map = patient()
    cropped = changes.get("crop_to_nonzero", True)
    box = (slice(1, 5), slice(0, 5), slice(2, 8)) if cropped else (slice(None),) * 3
    order = changes.get("axis_order", (0, 1, 2))
    expected, expected_labels = (
        sitk.GetArrayFromImage(sitk.DICOMOrient(sitk.GetImageFromArray(voxels[box]), wanted)).transpose(order)
        for voxels in (image, label_map)
    )
    array, placement = prepare_image(read(stored(image, code)), plan(wanted, **changes))
    np.testing.assert_array_equal(array[0], expected)
    classes = prepare_labels(sitk.GetArrayFromImage(stored(label_map, code)), placement, LABELS)
    np.testing.assert_array_equal(classes, expected_labels // 10)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (7.0, 1.0, 0.4), (1.3, 0.9)])
def test_every_orientation_is_resampled_and_normalised_to_the_same_bits(code, spacing_mm):
    image, label_map = patient()
    preprocessing = Preprocessing(orientation="LPS", spacing_mm=spacing_mm, normalisation=(ZScore(inside_mask=True),))
    prepared = []
    for each in ("LPS", code):
        array, placement = prepare_image(read(stored(image, each)), preprocessing)
        prepared.append((array, prepare_labels(sitk.GetArrayFromImage(stored(label_map, each)), placement, LABELS)))
    np.testing.assert_array_equal(prepared[0][0], prepared[1][0])
    np.testing.assert_array_equal(prepared[0][1], prepared[1][1])


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("axis_order", [(0, 1, 2), (1, 2, 0)])
def test_predictions_come_back_onto_the_files_own_grid(code, axis_order, restore_labels, restore_probabilities):
    image, label_map = patient()
    file = read(stored(image, code))
    spacing_mm = tuple(SPACING[axis] for axis in axis_order)
    _, placement = prepare_image(file, plan("LPS", spacing_mm, axis_order=axis_order))
    placement = Placement.model_validate_json(placement.model_dump_json())
    assert placement.grid == file.grid
    inside = sitk.GetArrayFromImage(stored(np.where(image > 0, label_map, 0).astype(np.uint8), code))
    scores = one_hot(prepare_labels(sitk.GetArrayFromImage(stored(label_map, code)), placement, LABELS))
    np.testing.assert_array_equal(restore_labels(scores, placement, LABELS), inside)
    probabilities = restore_probabilities(100 * scores, placement, LABELS)
    np.testing.assert_allclose(probabilities, [inside == value for value in (0, 10, 20)], atol=1e-6)


def rotation(*degrees):
    """A turn about each of the patient's axes in sequence."""
    turned = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        first, second = (other for other in range(3) if other != axis)
        about = np.eye(3)
        about[[first, second], [first, second]] = np.cos(angle)
        about[first, second], about[second, first] = -np.sin(angle), np.sin(angle)
        turned = about @ turned
    return turned


@pytest.mark.parametrize("code", ["LPS", "RAS", "SRA", "PIR"])
@pytest.mark.parametrize("degrees", [(0, 0, 30), (-20, 10, 0), (12, -15, 18)])
def test_oblique_axes_count_as_the_nearest_straight_ones(code, degrees, restore_labels):
    image, label_map = patient()
    file = read(stored(image, code, rotation(*degrees)))
    array, placement = prepare_image(file, plan("LPS"))
    np.testing.assert_array_equal(array[0], image[1:5, 0:5, 2:8])
    assert placement.grid == file.grid
    scores = one_hot(label_map[1:5, 0:5, 2:8] // 10)
    expected = sitk.GetArrayFromImage(stored(np.where(image > 0, label_map, 0), code))
    np.testing.assert_array_equal(restore_labels(scores, placement, LABELS), expected)


@pytest.mark.parametrize("code", ["RAS", "PSR"])
def test_without_an_orientation_axes_stay_as_the_file_has_them(code):
    file = read(stored(patient()[0], code))
    array, placement = prepare_image(file, plan(None, file.grid.spacing_mm, crop_to_nonzero=False))
    np.testing.assert_array_equal(array, file.array)
    assert placement.reversed == (False, False, False)


def test_pictures_are_never_turned():
    picture = np.random.default_rng(0).uniform(1, 2, size=(1, 1, 6, 8)).astype(np.float32)
    grid = Grid((1, 6, 8), (1.0, 1.0, 1.0), (0.0, 0.0), (-1.0, 0.0, 0.0, 1.0), 2)
    array, placement = prepare_image(Image(picture, grid), plan("LPS", (1.0, 1.0)))
    np.testing.assert_array_equal(array, picture)
    assert placement.grid == grid


def test_a_dataset_of_mixed_orientations_there_and_back(tmp_path, restore_labels):
    image, label_map = patient()
    cases = []
    for code in ("LPS", "RAS", "PIR"):
        cases.append(Case(code, (tmp_path / f"{code}_0000.nii.gz",), tmp_path / f"{code}.nii.gz"))
        sitk.WriteImage(stored(image, code), str(cases[-1].images[0]))
        sitk.WriteImage(stored(label_map, code), str(cases[-1].label))
    dataset = Dataset(tmp_path, Description(name="mixed", channels=("MR",), labels=LABELS), tuple(cases))
    prepared = prepare_dataset(dataset, plan("RAS"), (4, 4, 4), tmp_path / "prepared", processes=1)
    for case, made in zip(cases, prepared, strict=True):
        np.testing.assert_array_equal(made.image()[0], image[1:5, 0:5, 2:8][:, ::-1, ::-1])
        np.testing.assert_array_equal(made.labels()[0], label_map[1:5, 0:5, 2:8][:, ::-1, ::-1] // 10)
        for index, voxels in enumerate(made.locations().targets, start=1):
            assert (made.labels()[0][tuple(voxels.T)] == index).all()
        restored = restore_labels(one_hot(made.labels()[0]), made.placement, LABELS)
        expected, grid = read_label_map(case.label)
        np.testing.assert_array_equal(restored, np.where(read_image(*case.images).array[0] > 0, expected, 0))
        assert made.placement.grid.differs_from(grid) is None
