from __future__ import annotations

import shutil

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.evaluation import read_scores


def header(path):
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader.GetSize(), reader.GetSpacing(), reader.GetOrigin(), reader.GetDirection()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


NEW = ["kidneys_005.nii.gz", "kidneys_006.nii.gz", "predictions.json"]


@pytest.fixture(scope="module")
def predicted(autoseg, finished):
    """The new images, predicted by all folds of the stage."""
    output = finished.data.parent / "predicted"
    ran = autoseg("predict", finished.model, finished.data / "imagesTs", "-o", output, "--device", "cpu")
    assert ran.code == 0
    assert f"2 predicted, 0 kept, 0 failed: {output}" in ran.err
    return output


def test_predictions_lie_on_the_grids_of_the_images(finished, predicted):
    assert names(predicted) == NEW
    for name in NEW[:2]:
        image = finished.data / "imagesTs" / name.replace(".nii.gz", "_0000.nii.gz")
        *found, direction = header(predicted / name)
        *expected, its_direction = header(image)
        assert found == expected
        np.testing.assert_allclose(direction, its_direction, rtol=0, atol=1e-7)  # NIfTI stores a float32 rotation
        label_map = sitk.GetArrayFromImage(sitk.ReadImage(str(predicted / name)))
        assert set(np.unique(label_map)) <= {0, 1, 2}


@pytest.mark.parametrize("given", ["folder", "files", "dataset", "both"])
def test_images_are_given_as_files_folders_or_datasets(autoseg, finished, predicted, tmp_path, given):
    images = sorted((finished.data / "imagesTs").iterdir())
    inputs = {"folder": [images[0].parent], "files": images, "dataset": [finished.data], "both": []}[given]
    if given == "both":
        shutil.copytree(images[0].parent, tmp_path / "in")
        (tmp_path / "in" / images[1].name).unlink()
        inputs = [tmp_path / "in", images[1]]
    ran = autoseg("predict", finished.model / "fold_0", *inputs, "-o", tmp_path / "out", "--device", "cpu")
    assert ran.code == 0
    assert names(tmp_path / "out") == NEW
    for name in NEW[:2]:
        assert (tmp_path / "out" / name).read_bytes() == (predicted / name).read_bytes()


def test_what_is_predicted_is_kept(autoseg, finished, predicted, contents):
    before = contents(predicted)
    command = ("predict", finished.model, finished.data / "imagesTs", "-o", predicted)
    ran = autoseg(*command)
    assert ran.code == 0
    assert f"0 predicted, 2 kept, 0 failed: {predicted}" in ran.err
    assert contents(predicted) == before
    ran = autoseg(*command, "--no-tta")
    assert ran.code == 2
    assert f"{predicted}: holds predictions of another model (mirrored: True there, False now)." in ran.err
    assert contents(predicted) == before


def test_options(autoseg, finished, tmp_path):
    command = ("predict", finished.model, finished.data / "imagesTs", "-o", tmp_path, "--no-tta", "--probabilities")
    assert autoseg(*command, "-q") == (0, "", "")
    assert names(tmp_path) == sorted([*NEW, "kidneys_005.npz", "kidneys_006.npz"])
    with np.load(tmp_path / "kidneys_005.npz") as stored:
        probabilities = stored["probabilities"]
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, atol=1e-5)
    label_map = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "kidneys_005.nii.gz")))
    assert probabilities.shape == (3, *label_map.shape)


def test_a_broken_image_does_not_stop_the_others(autoseg, finished, predicted, tmp_path):
    images = shutil.copytree(finished.data / "imagesTs", tmp_path / "in")
    broken = images / "kidneys_005_0000.nii.gz"
    broken.write_bytes(broken.read_bytes()[:300])
    ran = autoseg("predict", finished.model, images, "-o", tmp_path / "out")
    assert ran.code == 1
    assert f"autoseg: case 'kidneys_005': {broken}: " in ran.err
    assert f"1 predicted, 0 kept, 1 failed: {tmp_path / 'out'}" in ran.err
    assert names(tmp_path / "out") == NEW[1:]


# Scores of what was predicted


@pytest.mark.parametrize("references", ["labelsTs", "bare"])
def test_evaluate(autoseg, finished, predicted, tmp_path, references):
    """The labels' names come from predictions.json, so a bare folder of label maps will do."""
    truth = finished.data / "labelsTs"
    if references == "bare":
        truth = shutil.copytree(truth, tmp_path / "truth")
    output = tmp_path / "scores.json"
    ran = autoseg("evaluate", predicted, truth, "-o", output, "--jobs", 1)
    assert ran.code == 0
    assert f"Scores: {output}" in ran.err
    assert all(word in ran.out for word in ("kidney", "tumour", "kidneys_005", "kidneys_006"))
    scores = read_scores(output)
    assert list(scores.dice) == ["kidneys_005", "kidneys_006"]
    assert (tmp_path / "scores.csv").read_text().startswith("case,target,dice,iou,")


def test_evaluate_against_a_dataset(autoseg, finished, tmp_path):
    """The labels' names come from the dataset where no record lies beside the predictions."""
    predictions = shutil.copytree(finished.model / "fold_0" / "validation", tmp_path / "predictions")
    [case] = read_scores(predictions / "scores.json").dice
    ran = autoseg(
        "evaluate", predictions, finished.data, "-o", tmp_path / "again.json", "--jobs", 1, "--missing", "skip"
    )
    assert ran.code == 0
    assert read_scores(tmp_path / "again.json").dice == read_scores(predictions / "scores.json").dice
    truth = shutil.copytree(finished.data / "labelsTr", tmp_path / "truth")
    ran = autoseg("evaluate", predictions, truth)
    assert ran.code == 2
    assert (
        f"{predictions}: nothing says what the labels are called. Give a dataset as REFERENCES, or predictions made "
        "by 'autoseg predict'."
    ) in ran.err
    assert (truth / f"{case}.nii.gz").is_file()
