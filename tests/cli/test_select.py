"""`autoseg select`, `autoseg status` and predicting by what was selected, on a workspace with one trained fold."""

from __future__ import annotations

import json
import shutil

import numpy as np
import SimpleITK as sitk

from autoseg.dataset import read_image
from autoseg.inference.predictor import Predictor


def voxels(path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def test_one_stage_from_selection_to_prediction(autoseg, finished, own_work, tmp_path):
    ran = autoseg("status", "-w", own_work)
    assert "plan 'default': " in ran.out and "3d_fullres, fold 0: trained, Dice " in ran.out
    assert "2d, fold 0: to train" in ran.out and "selection: not made" in ran.out
    ran = autoseg("predict", own_work, finished.data / "imagesTs", "-o", tmp_path / "out")
    assert ran.code == 2
    assert f"{own_work}: no model is selected here yet. Run 'autoseg select DATASET' once models" in ran.err
    ran = autoseg("select", finished.data, "-w", own_work, "--jobs", 1)
    assert ran.code == 0, ran.err
    assert "Selected: 3d_fullres, the only candidate (1 cases, fold 0)" in ran.out
    assert "no stage has all 5 folds; comparing by fold 0 alone" in ran.err
    assert "selection: 3d_fullres" in autoseg("status", "-w", own_work).out
    for model, output in ((own_work, "a"), (own_work / "models" / "default", "b"), (finished.model, "c")):
        ran = autoseg("predict", model, finished.data / "imagesTs", "-o", tmp_path / output, "--device", "cpu")
        assert ran.code == 0, ran.err
    for name in ("kidneys_005.nii.gz", "kidneys_006.nii.gz"):
        found = [(tmp_path / output / name).read_bytes() for output in "abc"]
        assert found[0] == found[1] == found[2]


def test_two_stages(autoseg, finished, own_work, tmp_path):
    """The pair is made, cached, scored; and, chosen by hand, predicts as the mean of the two."""
    fast = ("--workers", 0, "--jobs", 1)
    assert autoseg("train", finished.data, "-w", own_work, "--stage", "2d", *fast).code == 0
    ran = autoseg("select", finished.data, "-w", own_work, "--jobs", 1)
    assert ran.code == 0, ran.err
    models = own_work / "models" / "default"
    selection = json.loads((models / "selection.json").read_text())
    assert {tuple(one["stages"]) for one in selection["candidates"]} == {
        ("2d",),
        ("3d_fullres",),
        ("2d", "3d_fullres"),
    }
    pair = models / "ensembles" / "2d+3d_fullres"
    [written] = pair.glob("*.nii.gz")
    case = written.name.removesuffix(".nii.gz")
    image = read_image(finished.data / "imagesTr" / f"{case}_0000.nii.gz")
    said = [
        Predictor.load(models / stage / "fold_0", "cpu").predict(image, probabilities=True).probabilities
        for stage in ("2d", "3d_fullres")
    ]
    mean = np.mean(said, axis=0)
    top = np.sort(mean, axis=0)
    clear = top[-1] - top[-2] > 2e-3
    np.testing.assert_array_equal(voxels(written)[clear], mean.argmax(axis=0)[clear])
    selection["candidates"].sort(key=lambda one: -len(one["stages"]))
    (models / "selection.json").write_text(json.dumps(selection))
    shutil.rmtree(models / "ensembles")
    ran = autoseg(
        "predict", models, finished.data / "imagesTr" / f"{case}_0000.nii.gz", "-o", tmp_path, "--device", "cpu"
    )
    assert ran.code == 0, ran.err
    assert json.loads((tmp_path / "predictions.json").read_text())["stage"] == "2d + 3d_fullres"
    if not selection["postprocessing"]["rules"]:
        np.testing.assert_array_equal(voxels(tmp_path / f"{case}.nii.gz")[clear], mean.argmax(axis=0)[clear])


def test_no_workspace(autoseg, tmp_path):
    ran = autoseg("status", "-w", tmp_path / "none")
    assert ran.code == 2
    assert f"{tmp_path / 'none'}: no such workspace. 'autoseg run DATASET' makes one." in ran.err
    assert "give a workspace (-w DIR), or the dataset whose default workspace is meant" in autoseg("status").err
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "fingerprint.json").write_text("[]")
    assert "fingerprint: damaged: " in autoseg("status", "-w", tmp_path / "empty").out
    (tmp_path / "empty" / "fingerprint.json").unlink()
    assert "plan: none yet" in autoseg("status", "-w", tmp_path / "empty").out
