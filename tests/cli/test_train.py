from __future__ import annotations

import json
import sys

import pytest

from autoseg.evaluation import read_scores
from autoseg.inference.model import read_model


def test_what_is_shown_of_a_trained_model(finished):
    ran = finished.said["train"]
    fold = finished.model / "fold_0"
    assert "3d_fullres, fold 0, validation cases" in ran.out
    assert "kidney" in ran.out and "tumour" in ran.out
    assert f"Model: {fold}" in ran.err
    assert f"Pictures: {fold / 'validation.png'}, {fold / 'progress.png'}" in ran.err
    for name in ("weights.safetensors", "model.json", "log.jsonl", "progress.png", "validation.png", "resume.pt"):
        assert (fold / name).stat().st_size > 0
    assert len((fold / "log.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize("command", [("train", "--fold", 0), ("run", "--folds", 0)], ids=["train", "run"])
def test_a_trained_model_is_not_trained_again(autoseg, finished, contents, command):
    before = contents(finished.model)
    ran = autoseg(command[0], finished.data, "-w", finished.work, "--stage", "3d_fullres", *command[1:], "--jobs", 1)
    assert ran.code == 0
    assert "training" not in ran.err
    if command[0] == "train":
        assert finished.said["train"].out in ran.out
    else:  # which goes over many models: a line each
        dice = read_scores(finished.model / "fold_0" / "validation" / "scores.json").mean
        assert f"3d_fullres, fold 0: trained already, Dice {dice:.3f}" in ran.err
        assert ran.out == ""
    assert contents(finished.model) == before


def test_preprocessing_is_done_once(finished):
    assert finished.said["preprocess"].err.count("preparing cases: done") == 1
    assert f"Prepared for 3d_fullres: {finished.work / 'prepared'}" in finished.said["preprocess"].err
    assert len(list((finished.work / "prepared").iterdir())) == 1


def test_values_set_for_a_training(autoseg, finished, own_work, contents):
    """They are recorded with the model; the same command again finds it, another one does not touch it."""
    command = ("train", finished.data, "-w", own_work, "--stage", "2d", "--fold", "all", "--workers", 0, "--jobs", 1)
    chosen = ("--set", "stages.2d.training.epochs=2")
    assert autoseg(*command, *chosen).code == 0
    folder = own_work / "models" / "default" / "2d" / "fold_all"
    model = read_model(folder)
    assert model.trained["epochs"] == 2
    assert model.plan.decisions["stages.2d.training.epochs"].rule == "hand-set"
    assert len(model.training_cases) == 5
    before = contents(folder)
    assert autoseg(*command, *chosen).code == 0
    assert autoseg(*command).code == 0  # for one epoch: it has had more
    ran = autoseg(*command, "--set", "stages.2d.training.seed=5")
    assert ran.code == 2
    assert (
        "fold_all: this model was trained by another plan, on other cases, or on files that have changed since"
        in ran.err
    )
    assert contents(folder) == before
    longer = autoseg(*command, "--set", "stages.2d.training.epochs=3")
    assert longer.code == 0
    assert "it is made longer: the learning rate goes on at" in longer.err
    assert read_model(folder).trained["epochs"] == 3


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_the_device_is_the_plans_unless_named(autoseg, finished, own_work, monkeypatch, device):
    """As `run` has it: a plan for a CPU is trained on one, whatever else the machine has."""
    where = []
    monkeypatch.setattr(
        "autoseg.workflow.pipeline.run_job", lambda job, dataset, plan, space, device, *_: where.append(device)
    )
    monkeypatch.setattr("autoseg.cli.train.show_model", lambda dataset, folder: None)
    assert autoseg("train", finished.data, "-w", own_work, "--stage", "2d", "--device", device).code == 0
    assert where == [None if device == "auto" else device]


def test_an_interrupted_training_is_continued(autoseg, finished, own_work, monkeypatch):
    """Interrupted in its second epoch, as by Ctrl-C; the same command takes the rest of it."""
    command = ("train", finished.data, "-w", own_work, "--stage", "3d_fullres", "--fold", 1, "--workers", 0)
    chosen = ("--jobs", 1, "--set", "stages.3d_fullres.training.epochs=3")
    loop = sys.modules["autoseg.training.loop"]
    steps = iter(range(100))
    take_step = loop.take_step

    def interrupted(*arguments):
        if next(steps) == 3:
            raise KeyboardInterrupt
        return take_step(*arguments)

    monkeypatch.setattr(loop, "take_step", interrupted)
    ran = autoseg(*command, *chosen)
    assert ran.code == 130
    assert "Interrupted. What is finished is kept; the same command goes on from there." in ran.err
    folder = own_work / "models" / "default" / "3d_fullres" / "fold_1"
    assert not (folder / "weights.safetensors").exists()
    assert len((folder / "log.jsonl").read_text().splitlines()) == 1
    refused = autoseg("predict", folder, finished.data, "-o", own_work / "out")
    assert (refused.code, "the training has not finished" in refused.err) == (2, True)
    ran = autoseg(*command, *chosen)
    assert ran.code == 0
    assert "continuing after iteration 2" in ran.err
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert read_model(folder).trained["iterations"] == 6
