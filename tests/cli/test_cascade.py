"""A plan written by hand of two stages, the second of which builds on the first, taken down the whole path."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from autoseg.dataset import Dataset, Labels, make_folds, read_image, read_label_map
from autoseg.inference.predictor import Predictor
from autoseg.plan.previous import CropFixed, Mask, Previous
from autoseg.preprocessing import PreparedCase
from autoseg.preprocessing.previous import Rules, find_focus, masked

pytestmark = pytest.mark.slow

LABELS = {"background": 0, "kidney": 1, "tumour": 2}
WINDOW = {"kind": "ct", "lower": -200, "upper": 300, "mean": 50, "std": 100}
SIZE_MM = (120.0, 110.0, 150.0)  # the kidneys have less than 80 × 50 × 120 mm
OUTSIDE = -300.0


def stage(spacing_mm, patch, epochs, previous=None):
    return {
        "dimensions": 3,
        "previous": previous,
        "preprocessing": {"spacing_mm": spacing_mm, "normalisation": [WINDOW]},
        "network": {
            "kind": "plain_unet",
            "features": [8, 16],
            "kernels": [[3, 3, 3], [3, 3, 3]],
            "strides": [[1, 1, 1], [1, 2, 2]],
            "encoder_convolutions": [1, 1],
            "decoder_convolutions": [1],
        },
        "sampling": {"patch_size": patch, "batch_size": 2},
        "augmentation": [{"kind": "mirror", "axes": [2]}, {"kind": "previous_binary"}, {"kind": "previous_components"}],
        "loss": [{"kind": "cross_entropy"}, {"kind": "dice"}],
        "optimizer": {"kind": "adamw", "learning_rate": 0.01},
        "training": {
            "epochs": epochs,
            "iterations_per_epoch": 20,
            "validation_iterations": 1,
            "precision": "float32",
        },
    }


@pytest.fixture(scope="module")
def cascade(autoseg, kidneys, tmp_path_factory):
    """The dataset, the workspace, and what `run` said; fold 1 of the second stage was asked for."""
    folder = tmp_path_factory.mktemp("cascade")
    previous = {
        "stage": "coarse",
        "as_channels": True,
        "crop": {"kind": "box", "size_mm": SIZE_MM},
        "mask": {"value": OUTSIDE},
    }
    plan = {
        "dataset": {"name": "Kidneys", "channels": ["CT"], "labels": {"values": LABELS}},
        "budget": {},
        "stages": {
            "coarse": stage([12, 8, 8], [8, 16, 16], 6),
            "fine": stage([12, 5, 5], [8, 16, 16], 1, previous),
        },
    }
    (folder / "plan.json").write_text(json.dumps({"format": 1, **plan}))
    asked = ("--like", folder / "plan.json", "--stage", "fine", "--folds", 1, "--device", "cpu", "--memory", 1)
    ran = autoseg("run", kidneys, "-w", folder / "work", *asked, "--workers", 0, "--jobs", 1)
    assert ran.code == 0, ran.err
    return kidneys, folder / "work", ran, asked


def test_the_folds_of_the_first_stage_are_trained_first(cascade, autoseg, contents):
    data, work, ran, asked = cascade
    order = [f"coarse, fold {fold}: to train, 6 epochs" for fold in range(5)] + ["fine, fold 1: to train, 1 epoch"]
    places = [ran.err.index(line) for line in order]
    assert places == sorted(places)
    models = work / "models" / "default"
    assert sorted(path.parent.name for path in models.glob("*/*/weights.safetensors")) == [
        *(f"fold_{fold}" for fold in (0, 1)),
        *(f"fold_{fold}" for fold in (1, 2, 3, 4)),
    ]
    before = contents(work)
    again = autoseg("run", data, "-w", work, *asked, "--workers", 0, "--jobs", 1)
    assert again.code == 0 and again.err.count("trained already") == 6
    after = contents(work)
    assert {name for name in after if after[name] != before.get(name)} <= {"folds.json", "plans/default.json", "."}
    assert again.out == ""  # a line each, in its list, is all that is said of them


def test_training_cases_are_seen_with_predictions_of_models_that_had_not_seen_them(cascade):
    data, work, _, _ = cascade
    folds, labels = make_folds(Dataset.open(data)), Labels(values=LABELS)
    models, [store] = work / "models" / "default", [path.parent for path in work.rglob("previous") if path.is_dir()]
    plan = Predictor.load(models / "fine", "cpu").model.plan
    one = Rules(
        Previous(stage="coarse", crop=CropFixed(size_mm=SIZE_MM), mask=Mask(value=OUTSIDE)),
        plan.stages["fine"].preprocessing,
        labels,
    )
    assert one.previous == plan.stages["fine"].previous
    masks = 0
    for number, fold in enumerate(folds):
        [name] = fold.validation
        predicted, grid = read_label_map(models / "coarse" / f"fold_{number}" / "validation" / f"{name}.nii.gz")
        case = PreparedCase(name, store, store / "previous" / "default" / "coarse")
        truth, _ = read_label_map(data / "labelsTr" / f"{name}.nii.gz")
        inside = np.zeros(truth.shape, dtype=bool)
        inside[case.placement.box] = True
        assert inside[truth > 0].all() and inside.mean() < 0.9
        focus = find_focus(predicted, grid, one)
        assert tuple((side.start, side.stop) for side in focus.box) == case.placement.crop
        image = read_image(data / "imagesTr" / f"{name}_0000.nii.gz")
        masks += int((masked(image, focus, one.previous).array == OUTSIDE).any())
        assert set(np.unique(case.previous()[:])) == set(np.unique(predicted[case.placement.box]))
    report = json.loads((store / "previous" / "default" / "coarse" / "lost.json").read_text())
    assert sorted(report["cases"]) == sorted(name for fold in folds for name in fold.validation)
    assert masks == sum(case["found"] for case in report["cases"].values()) == len(folds)


def test_a_new_image_goes_through_both(cascade, autoseg, tmp_path):
    data, work, _, _ = cascade
    fine = work / "models" / "default" / "fine"
    ran = autoseg("predict", fine, data / "imagesTs", "-o", tmp_path / "out", "--device", "cpu")
    assert ran.code == 0, ran.err
    chain = Predictor.load(fine, "cpu")
    first = Predictor.load(work / "models" / "default" / "coarse", "cpu")
    assert len(first.networks) == len(chain.previous.networks) == 5
    for path in sorted((data / "imagesTs").iterdir()):
        image = read_image(path)
        predicted, _ = read_label_map(tmp_path / "out" / path.name.replace("_0000", ""))
        before = first.predict(image).label_map
        array, placement = chain.prepare(image)
        assert array.shape[0] == 3
        expected = chain.predict_prepared(array, placement).label_map
        np.testing.assert_array_equal(predicted, expected)
        np.testing.assert_array_equal(chain.previous.predict(image).label_map, before)


def test_a_model_that_was_moved_alone(cascade, autoseg, tmp_path):
    data, work, _, _ = cascade
    alone = shutil.copytree(work / "models" / "default" / "fine", tmp_path / "alone" / "fine")
    ran = autoseg("predict", alone, data / "imagesTs", "-o", tmp_path / "out", "--device", "cpu")
    assert ran.code == 2
    assert "fine builds on what coarse predicts, and there is no model of it to use in" in ran.err


def test_preparing_all_leaves_what_waits_for_a_training(cascade, autoseg, tmp_path):
    data, work, _, _ = cascade
    fresh = tmp_path / "fresh"
    shutil.copytree(work / "plans", fresh / "plans")
    shutil.copy(work / "fingerprint.json", fresh / "fingerprint.json")
    ran = autoseg("preprocess", data, "-w", fresh, "--jobs", 1)
    assert ran.code == 0
    assert "Prepared for coarse" in ran.err and "Prepared for fine" not in ran.err
    assert "Left for later: stage fine builds on what coarse predicts, and folds 0, 1, 2, 3, 4 of" in ran.err
    assert autoseg("preprocess", data, "-w", fresh, "--stage", "fine", "--jobs", 1).code == 2
