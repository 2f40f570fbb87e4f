"""Whole cases scored after a training, by a network whose answer is known."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import pytest
import torch

from autoseg.dataset import Dataset, read_label_map
from autoseg.inference import sliding_window, way
from autoseg.inference.mapped import mapped_array
from autoseg.inference.model import Model
from autoseg.inference.predictor import Predictor
from autoseg.preprocessing import prepare_dataset
from autoseg.training import validate_cases


class Thresholds(torch.nn.Module):
    """Ball above 0.7 standard deviations, box above 3: what the intensities of the cases allow."""

    def forward(self, images):
        ball, box = images - 0.7, 3 * (images - 3)
        return (torch.cat((torch.zeros_like(images), ball, ball + box), dim=1),)


@pytest.fixture
def predictor(make_stage, make_plan, cpu):
    plan = make_plan(make_stage())
    model = Model(plan=plan, stage="tiny", fold=0, training_cases=(), validation_cases=(), trained={})
    return Predictor(model, (Thresholds(),), cpu)


def dice(first, second):
    return 2 * (first & second).sum() / (first.sum() + second.sum())


def test_predictions_and_scores(predictor, prepared, dataset, tmp_path):
    scores = validate_cases(predictor, prepared[:2], tmp_path / "validation")
    assert sorted(file.name for file in (tmp_path / "validation").iterdir()) == [
        "ball_0.nii.gz",
        "ball_1.nii.gz",
        "scores.csv",
        "scores.json",
    ]
    assert list(scores.dice) == ["ball_0", "ball_1"]
    for name in ("ball_0", "ball_1"):
        predicted, grid = read_label_map(tmp_path / "validation" / f"{name}.nii.gz")
        truth, expected_grid = read_label_map(dataset.path / "labelsTr" / f"{name}.nii.gz")
        assert grid.differs_from(expected_grid) is None
        for target, value in {"ball": 1, "box": 2}.items():
            assert scores.dice[name][target] == pytest.approx(dice(predicted == value, truth == value))
        assert scores.dice[name]["ball"] > 0.9


def test_label_maps_that_are_links_to_files_without_an_ending(predictor, dataset, tmp_path):
    """As DVC keeps them: the name of the link says the format, also of the prediction."""
    folder = shutil.copytree(dataset.path, tmp_path / "balls")
    for number, label in enumerate(sorted((folder / "labelsTr").iterdir())):
        label.rename(tmp_path / f"{number:032x}")
        label.symlink_to(tmp_path / f"{number:032x}")
    linked = Dataset.open(folder)
    stage = predictor.stage
    cases = prepare_dataset(linked, stage.preprocessing, stage.sampling.patch_size, tmp_path / "prepared", processes=1)
    scores = validate_cases(predictor, cases[:1], tmp_path / "validation")
    assert (tmp_path / "validation" / "ball_0.nii.gz").is_file()
    assert scores.dice["ball_0"]["ball"] > 0.9


def test_with_little_memory_the_sums_are_on_the_disk_and_the_same_is_predicted(
    predictor, prepared, tmp_path, monkeypatch
):
    folders = []

    @contextmanager
    def mapped(folder, *arguments):
        folders.append(folder)
        with mapped_array(folder, *arguments) as array:
            yield array

    monkeypatch.setattr(sliding_window, "mapped_array", mapped)
    ample = validate_cases(predictor, prepared[:2], tmp_path / "ample")
    assert folders == []
    monkeypatch.setattr(way, "available_memory_bytes", lambda: 1000.0)
    little = validate_cases(predictor, prepared[:2], tmp_path / "little")
    assert folders == [tmp_path / "little"] * 2
    assert little == ample
    names = [sorted(file.name for file in (tmp_path / folder).iterdir()) for folder in ("ample", "little")]
    assert names[0] == names[1]
    for name in ("ball_0.nii.gz", "ball_1.nii.gz"):
        assert (tmp_path / "little" / name).read_bytes() == (tmp_path / "ample" / name).read_bytes()


def test_predictions_that_are_there_are_kept(predictor, prepared, tmp_path):
    folder = tmp_path / "validation"
    first = validate_cases(predictor, prepared[:1], folder)
    before = (folder / "ball_0.nii.gz").stat().st_mtime_ns
    again = validate_cases(predictor, prepared[:2], folder)
    assert (folder / "ball_0.nii.gz").stat().st_mtime_ns == before
    assert list(again.dice) == ["ball_0", "ball_1"]
    assert again.dice["ball_0"] == first.dice["ball_0"]
