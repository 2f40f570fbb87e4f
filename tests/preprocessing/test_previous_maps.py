"""Predictions of a previous stage in the store: what is kept, what is made again, what is reported."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest

from autoseg.dataset.dataset import Case, Dataset
from autoseg.dataset.description import Description
from autoseg.dataset.images import write_image, write_label_map
from autoseg.dataset.labels import Labels
from autoseg.errors import DatasetError
from autoseg.geometry import plain_grid
from autoseg.plan.preprocessing import NoNormalisation, Preprocessing
from autoseg.plan.previous import CropAround, CropFixed, Mask, Previous
from autoseg.preprocessing.dataset import prepare_dataset
from autoseg.preprocessing.previous_maps import REPORT, Refining, map_digest

LABELS = Labels(values={"background": 0, "kidney": 3, "tumour": 7})
PREPROCESSING = Preprocessing(crop_to_nonzero=False, spacing_mm=(1.0, 1.0, 1.0), normalisation=(NoNormalisation(),))
GRID = plain_grid((8, 10, 12), (1.0, 1.0, 1.0))
NAMES = ("a", "b")


@pytest.fixture
def dataset(tmp_path):
    """Noise, and a kidney of 4 × 4 × 4 voxels in the middle."""
    folder = tmp_path / "kidneys"
    cases = tuple(Case(name, (folder / f"{name}_0000.nii.gz",), folder / f"{name}.nii.gz") for name in NAMES)
    truth = np.zeros(GRID.shape, dtype=np.uint8)
    truth[2:6, 3:7, 4:8] = 3
    for number, case in enumerate(cases):
        noise = np.random.default_rng(number).normal(size=GRID.shape).astype(np.float32)
        write_image(case.images[0], noise, GRID)
        write_label_map(case.label, truth, GRID)
    return Dataset(folder, Description(name="kidneys", channels=("CT",), labels=LABELS), cases)


@pytest.fixture
def predictions(tmp_path):
    """As the truth, but a voxel further along x in b, and with a tumour at its end."""
    paths = {}
    for number, name in enumerate(NAMES):
        predicted = np.zeros(GRID.shape, dtype=np.uint8)
        predicted[2:6, 3:7, 4 + number : 8 + number] = 3
        predicted[5, 3:7, 4 + number : 8 + number] = 7
        paths[name] = tmp_path / "predicted" / f"{name}.nii.gz"
        write_label_map(paths[name], predicted, GRID)
    return paths


@pytest.fixture
def prepare(dataset, predictions, tmp_path):
    def run(preprocessing=PREPROCESSING, **previous):
        refining = Refining(Previous(stage="first", **previous), predictions, tmp_path / "prepared" / "previous")
        return prepare_dataset(dataset, preprocessing, (4, 4, 4), tmp_path / "prepared", 1, refining=refining)

    return run


def shifted(number):
    return np.s_[2:6, 3:7, 4 + number : 8 + number]


def state(tmp_path):
    return {path.name: path.stat().st_mtime_ns for path in (tmp_path / "prepared").rglob("*") if path.is_file()}


def test_maps_are_classes_on_the_grid_of_the_prepared_image(prepare):
    for number, case in enumerate(prepare()):
        expected = np.zeros(GRID.shape, dtype=np.int16)
        expected[shifted(number)] = 1
        expected[5, 3:7, 4 + number : 8 + number] = 2
        found = case.previous()[:]
        assert found.dtype == np.int16
        np.testing.assert_array_equal(found[0], expected)
        assert case.record.refined is None


def test_maps_are_resampled_as_labels_are(prepare):
    """Twice as many voxels along each axis: each becomes eight, but where a smaller class lies half way."""
    finer = PREPROCESSING.model_copy(update={"spacing_mm": (0.5, 0.5, 0.5), "label_order": 0})
    case = prepare(finer)[0]
    coarse = np.zeros(GRID.shape, dtype=np.int16)
    coarse[shifted(0)] = 1
    coarse[5, 3:7, 4:8] = 2
    np.testing.assert_array_equal(case.previous()[:][0], coarse.repeat(2, 0).repeat(2, 1).repeat(2, 2))


def test_what_is_there_is_left_alone_and_what_changed_is_made_again(prepare, predictions, tmp_path):
    cases = prepare()
    before, digest = state(tmp_path), map_digest(cases[0])
    prepare()
    assert state(tmp_path) == before
    write_label_map(predictions["a"], np.full(GRID.shape, 7, dtype=np.uint8), GRID)
    cases = prepare()
    after = state(tmp_path)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"a.previous.b2nd", "a.previous.json"}
    assert (cases[0].previous()[:] == 2).all()
    assert map_digest(cases[0]) != digest
    cases[1].previous_path.write_bytes(cases[1].previous_path.read_bytes()[:-20])  # as a power cut may leave it
    prepare()
    assert (cases[1].previous()[:][0][shifted(1)] != 0).all()


def test_images_that_are_cropped_are_made_again_with_their_predictions(prepare, predictions, tmp_path):
    cases = prepare(as_channels=False, crop=CropAround(margin_mm=1))
    assert [case.placement.crop for case in cases] == [((1, 7), (2, 8), (3, 9)), ((1, 7), (2, 8), (4, 10))]
    assert not list((tmp_path / "prepared").rglob("*.previous.*"))
    before = state(tmp_path)
    prepare(as_channels=False, crop=CropAround(margin_mm=1))
    assert state(tmp_path) == before
    write_label_map(predictions["b"], np.full(GRID.shape, 3, dtype=np.uint8), GRID)
    cases = prepare(as_channels=False, crop=CropAround(margin_mm=1))
    after = state(tmp_path)
    assert not any(name.startswith("a.") for name in after if after[name] != before[name])
    assert cases[1].image().shape == (1, *GRID.shape)


def test_a_mask_in_the_store_has_its_exact_value(prepare, dataset):
    for number, case in enumerate(prepare(as_channels=False, mask=Mask(value=-1024))):
        noise = np.random.default_rng(number).normal(size=GRID.shape).astype(np.float32)
        expected = np.full(GRID.shape, -1024, dtype=np.float32)
        expected[shifted(number)] = noise[shifted(number)]
        np.testing.assert_array_equal(case.image()[:][0], expected)


def test_what_is_lost_is_reported(prepare, tmp_path, caplog):
    """Of 128 voxels, b's box misses the 16 at its lower end."""
    with caplog.at_level(logging.INFO):
        prepare(as_channels=False, crop=CropFixed(size_mm=(4, 4, 4)))
    report = json.loads((tmp_path / "prepared" / "previous" / REPORT).read_text())
    assert report["voxels"] == {"kidney": 128, "tumour": 0}
    assert report["outside"] == {"kidney": 16, "tumour": 0}
    assert report["share_outside"] == pytest.approx(16 / 128)
    assert report["covering_mm"] == [4, 4, 6]
    assert report["cases"]["a"] == {"found": True, "voxels": report["cases"]["b"]["voxels"]} | {
        "outside": {"kidney": 0, "tumour": 0}
    }
    assert [(record.levelname, record.message) for record in caplog.records] == [
        (
            "WARNING",
            "warning: of the true labels, 12.5 % lie outside of what first leaves (kidney 16 of 128 voxels). A box of "
            "4.0 × 4.0 × 6.0 mm holds all.",
        )
    ]
    caplog.clear()
    with caplog.at_level(logging.INFO):
        prepare(as_channels=False, crop=CropFixed(size_mm=(4, 4, 4)))
    assert not caplog.records


def test_a_box_that_covers_all_loses_nothing(prepare, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        cases = prepare(as_channels=False, crop=CropFixed(size_mm=(4, 4, 6)))
    assert [int((case.labels()[:] == 1).sum()) for case in cases] == [64, 64]
    assert [record.message for record in caplog.records] == ["all true labels lie in what first leaves"]


def test_a_case_of_which_nothing_is_found_is_named_and_kept_whole(prepare, predictions, caplog):
    write_label_map(predictions["b"], np.zeros(GRID.shape, dtype=np.uint8), GRID)
    cases = prepare(as_channels=False, crop=CropAround(margin_mm=0))
    assert cases[1].image().shape == (1, *GRID.shape)
    assert cases[0].image().shape == (1, 4, 4, 4)
    assert "warning: case 'b': first found nothing to crop or mask by; all of it is seen" in [
        record.message for record in caplog.records
    ]


@pytest.mark.parametrize("previous", [{}, {"as_channels": False, "crop": CropAround()}])
def test_a_prediction_that_is_damaged(prepare, predictions, previous):
    """It is made anew once it is removed; the dataset, which other messages send people to, is not at fault."""
    remedy = "emove the folder it is in, and run the same command again: the cases are predicted anew."
    write_label_map(predictions["a"], np.full(GRID.shape, 9, dtype=np.uint8), GRID)
    with pytest.raises(DatasetError, match=r"a\.nii\.gz: the label map holds value 9, which .* not declare") as raised:
        prepare(**previous)
    assert remedy in str(raised.value)
    predictions["a"].write_bytes(predictions["a"].read_bytes()[:60])
    with pytest.raises(DatasetError, match=r"a\.nii\.gz: ") as raised:
        prepare(**previous)
    assert remedy in str(raised.value)


@pytest.mark.parametrize("previous", [{}, {"as_channels": False, "crop": CropAround()}])
def test_a_prediction_of_another_image(prepare, predictions, previous):
    write_label_map(predictions["a"], np.zeros((2, 3, 4), dtype=np.uint8), plain_grid((2, 3, 4), (1.0, 1.0, 1.0)))
    with pytest.raises(DatasetError, match=r"a\.nii\.gz: a prediction of 2 × 3 × 4 voxels for an image of 8 × 10 × 12"):
        prepare(**previous)
