"""Whole trainings, small ones: they learn, they can be stopped at any time, and go on as if they had not been."""

from __future__ import annotations

import json
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from autoseg.errors import TrainingError
from autoseg.training import Job, fit
from autoseg.training.training_curves import draw_training_curves

TIMES = ("minutes", "seconds", "data_wait")  # the only things in a log that differ from run to run


@pytest.fixture(autouse=True)
def _blank_pictures(monkeypatch):
    """Drawing takes longer than all else here."""
    monkeypatch.setattr("autoseg.training.loop.draw_training_curves", lambda path, rows, title: path.write_bytes(b""))


@pytest.fixture
def make_job(make_stage, make_plan, prepared, cpu, folder):
    def make(stage=None, cases=prepared, workers=0, where=folder):
        plan = make_plan(stage or make_stage())
        return Job(plan, "tiny", 0, cases[:3], cases[3:], where, cpu, workers)

    return make


def stops_after(steps):
    """A progress display whose user presses Ctrl-C when a number of steps is taken."""

    @contextmanager
    def progress(description, total):
        taken = -1  # the first call says how far an earlier session came

        def step(done, note):
            nonlocal taken
            taken += 1
            if taken == steps:
                raise KeyboardInterrupt

        yield step

    return progress


def interrupt(job, steps):
    with pytest.raises(KeyboardInterrupt):
        fit(job, stops_after(steps))


def rows(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def timeless(folder):
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows(folder)]


def assert_same(weights, expected):
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in weights)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_training_learns(make_job, make_stage, folder, dimensions):
    stage = make_stage(
        dimensions,
        augmentation=[],
        sampling={"batch_size": 4},
        training={"epochs": 4, "iterations_per_epoch": 10},
        optimizer={"kind": "adamw", "learning_rate": 0.02},
    )
    trained = fit(make_job(stage))
    log = rows(folder)
    assert (trained.epochs, trained.iterations, len(log)) == (4, 40, 4)
    assert log[-1]["train_loss"] < 0.7 * log[0]["train_loss"]
    assert log[-1]["validation_loss"] < log[0]["validation_loss"]
    assert log[-1]["dice"]["ball"] > 0.5
    assert all(tensor.isfinite().all() and tensor.device.type == "cpu" for tensor in trained.weights.values())


def test_files(make_job, folder, monkeypatch):
    monkeypatch.setattr("autoseg.training.loop.draw_training_curves", draw_training_curves)
    trained = fit(make_job())
    assert sorted(file.name for file in folder.iterdir()) == ["log.jsonl", "progress.png", "resume.pt"]
    assert (folder / "progress.png").read_bytes().startswith(b"\x89PNG")
    log = rows(folder)
    assert [row["epoch"] for row in log] == [0, 1, 2]
    for row in log:
        assert set(row) - {"step_bytes_predicted", "step_bytes_measured"} == {
            *("epoch", "minutes", "seconds", "data_wait", "learning_rate"),
            *("train_loss", "validation_loss", "dice", "mean_dice"),
        }
        assert set(row["dice"]) == {"ball", "box"}
        assert 0 <= row["data_wait"] <= 1
    # The rate of an epoch's last step: 2, 5 and 8 of 9 were done before it.
    assert [row["learning_rate"] for row in log] == pytest.approx([0.01 * (1 - n / 9) ** 0.9 for n in (2, 5, 8)])
    assert log[-1]["minutes"] * 60 == pytest.approx(sum(row["seconds"] for row in log))
    assert trained.minutes == pytest.approx(log[-1]["minutes"])


def test_the_memory_of_a_step_is_logged_once(make_job, folder, caplog):
    """Of the second step, in the first row, whatever comes after."""
    with caplog.at_level("INFO", logger="autoseg.training"):
        interrupt(make_job(), 5)
        fit(make_job())
    first, *others = rows(folder)
    assert first["step_bytes_predicted"] == pytest.approx(first["step_bytes_measured"], rel=0.01)
    assert not any(key.startswith("step_bytes") for row in others for key in row)
    said = [record.message for record in caplog.records if record.message.startswith("memory of a step")]
    assert len(said) == 1


def test_epochs_of_one_step(make_job, make_stage, folder):
    fit(make_job(make_stage(training={"epochs": 3, "iterations_per_epoch": 1})))
    assert ["step_bytes_measured" in row for row in rows(folder)] == [False, True, False]


def test_a_prediction_that_is_far_off(make_job, monkeypatch, caplog):
    monkeypatch.setattr("autoseg.training.loop.training_bytes", lambda stage, dataset, device: 10**9)
    fit(make_job())
    (record,) = (record for record in caplog.records if record.levelname == "WARNING")
    assert record.message.startswith("memory of a step: predicted 1 GB, measured 0.000")


def test_progress_adds_up_to_one(make_job):
    told = []

    @contextmanager
    def progress(description, total):
        told.append((description, total))
        yield lambda done, note: told.append((done, note))

    interrupted = make_job()
    interrupt(interrupted, 5)
    fit(interrupted, progress)
    (description, total), (before, _), *steps = told
    assert (description, total) == ("training tiny, fold 0", 1.0)
    assert before == pytest.approx(3 / 9)  # the epoch that was finished
    assert len(steps) == 6
    assert before + sum(done for done, _ in steps) == pytest.approx(1.0)
    assert steps[0][1].startswith("epoch 1, loss ")
    assert ", patch Dice 0." in steps[0][1]


@pytest.mark.parametrize(
    ("dimensions", "workers", "kind"), [(3, 0, "sgd"), (3, 1, "sgd"), (3, 2, "adamw"), (2, 0, "adamw"), (2, 1, "sgd")]
)
def test_interrupted_and_continued_it_is_the_same_training(
    make_job, make_stage, tmp_path, folder, dimensions, workers, kind
):
    """Bit for bit, with everything random switched on; before, in and at the end of an epoch."""
    stage = make_stage(dimensions, optimizer={"kind": kind})
    expected = fit(make_job(stage, where=tmp_path / "uninterrupted"))
    job = make_job(stage, workers=workers)
    for steps in (1, 5, 3):  # in epoch 0; in epoch 1, of which 2 steps are lost; at the end of epoch 1
        interrupt(job, steps)
    found = fit(job)
    assert_same(found.weights, expected.weights)
    assert timeless(folder) == timeless(tmp_path / "uninterrupted")
    assert (found.epochs, found.iterations) == (expected.epochs, expected.iterations)


def test_the_seed_is_what_trainings_differ_by(make_job, make_stage, tmp_path):
    stage = make_stage(training={"seed": 2})
    first, second = fit(make_job()), fit(make_job(stage, where=tmp_path / "other"))
    assert not torch.equal(first.weights["heads.0.weight"], second.weights["heads.0.weight"])


def test_a_finished_training_is_not_trained_again(make_job, folder):
    expected = fit(make_job())
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    again = fit(make_job(), stops_after(1))  # a step would raise
    assert_same(again.weights, expected.weights)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_killed_between_checkpoint_and_log(make_job, folder):
    fit(make_job())
    expected = (folder / "log.jsonl").read_text()
    (folder / "log.jsonl").write_text("".join(expected.splitlines(keepends=True)[:-1]))
    fit(make_job())
    assert (folder / "log.jsonl").read_text() == expected


@pytest.mark.parametrize("what", ["another plan", "other cases"])
def test_another_training_in_the_same_folder(make_job, make_stage, prepared, folder, what):
    fit(make_job())
    job = make_job(make_stage(training={"epochs": 4})) if what == "another plan" else make_job(cases=prepared[:4])
    with pytest.raises(TrainingError) as refused:
        fit(job)
    assert str(refused.value) == (
        f"{folder}: holds a training by another plan, on other cases, or on files that have changed since. "
        "Remove the folder to train anew, or derive the new plan under another name (autoseg plan … --name NAME)."
    )


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by a second whenever the loop looks at it.

    It does so three times a step, and three times an epoch besides (one of them in the first step's
    count): a step takes 3 seconds, an epoch of n steps 3·n + 2.
    """
    seconds = iter(range(10**6))
    monkeypatch.setattr("autoseg.training.loop.time", SimpleNamespace(monotonic=lambda: float(next(seconds))))


def timed(make_stage):
    return make_stage(training={"minutes": 1.0, "epochs": 1, "iterations_per_epoch": 4})


@pytest.mark.usefixtures("clock")
def test_training_by_the_clock(make_job, make_stage, folder):
    """Four epochs of 14 seconds are 56; two more steps are 62, and a minute is over."""
    trained = fit(make_job(timed(make_stage)))
    assert (trained.epochs, trained.iterations) == (5, 18)
    assert [row["seconds"] for row in rows(folder)] == [14, 14, 14, 14, 8]
    assert trained.minutes == pytest.approx(64 / 60)
    # The rate follows the clock, too: the last step begins at 59 seconds.
    assert rows(folder)[-1]["learning_rate"] == pytest.approx(0.01 * (1 - 59 / 60) ** 0.9)


@pytest.mark.usefixtures("clock")
def test_training_by_the_clock_continued(make_job, make_stage, tmp_path, folder):
    """Time between sessions, and the time of an epoch that was lost, is not counted."""
    expected = fit(make_job(timed(make_stage), where=tmp_path / "uninterrupted"))
    job = make_job(timed(make_stage))
    interrupt(job, 10)
    assert [row["seconds"] for row in rows(folder)] == [14, 14]
    found = fit(job)
    assert_same(found.weights, expected.weights)
    assert rows(folder) == rows(tmp_path / "uninterrupted")


def said_of_types(caplog):
    return [record.message for record in caplog.records if "does not compute in" in record.message]


def test_another_type_than_planned_is_told_once(make_job, make_stage, monkeypatch, caplog):
    monkeypatch.setattr("autoseg.training.step.computing_type", lambda device, precision: torch.float16)
    fit(make_job(make_stage(training={"epochs": 2, "iterations_per_epoch": 1, "precision": "bfloat16"})))
    assert said_of_types(caplog) == ["cpu does not compute in bfloat16: training in float16, with scaled gradients"]


def test_nothing_is_told_of_the_type_that_was_planned(make_job, make_stage, caplog):
    fit(make_job(make_stage(training={"epochs": 1, "iterations_per_epoch": 1})))
    assert said_of_types(caplog) == []


def test_a_training_goes_on_where_gradients_must_be_scaled(make_job, folder, monkeypatch):
    """Begun on a GPU that computes in bfloat16, continued on one that does not."""
    interrupt(make_job(), 4)
    monkeypatch.setattr("autoseg.training.step.computing_type", lambda device, precision: torch.float16)
    assert fit(make_job()).epochs == 3
    assert torch.load(folder / "resume.pt", weights_only=True)["scaler"]["scale"] > 1


def test_an_image_with_nan(make_job, prepared, case_in_memory, folder):
    interrupt(make_job(), 4)
    before = (folder / "resume.pt").read_bytes()
    broken = [
        case_in_memory(
            case.name,
            np.full((1, 9, 24, 20), np.nan, np.float32),
            np.zeros((9, 24, 20), np.int16),
            record=case.record,
        )
        for case in prepared
    ]
    with pytest.raises(
        TrainingError, match="^the loss became nan. Look for NaN or extreme values with 'autoseg check'"
    ):
        fit(make_job(cases=broken))
    assert (folder / "resume.pt").read_bytes() == before


def test_without_validation_cases_the_training_cases_are_scored(make_job, prepared, folder):
    fit(make_job(cases=prepared[:3]))
    assert rows(folder)[-1]["dice"].keys() == {"ball", "box"}
    assert rows(folder)[-1]["mean_dice"] is not None
