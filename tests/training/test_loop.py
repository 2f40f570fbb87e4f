"""Whole trainings, small ones: they learn, they can be stopped at any time, and go on as if they had not been."""

from __future__ import annotations

import json
import math
import os
import re
import signal
from contextlib import contextmanager
from itertools import count

import pytest
import torch

from autoseg.errors import TrainingError, TrainingStopped
from autoseg.training import Job, epoch_end, fit, loop, session
from autoseg.training.checkpoint import read_checkpoint, write_checkpoint
from autoseg.training.training_curves import draw_training_curves

TIMES = (
    "minutes",
    "seconds",
    "data_wait",
    "validation_seconds",
)  # the only things in a log that differ from run to run


@pytest.fixture(autouse=True)
def _blank_pictures(monkeypatch):
    """Drawing takes longer than all else here."""
    monkeypatch.setattr("autoseg.training.log.draw_training_curves", lambda path, rows, title: path.write_bytes(b""))


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


def calls_after(steps, function):
    """A progress display that calls something when a number of steps is taken."""

    @contextmanager
    def progress(description, total):
        taken = -1

        def step(done, note):
            nonlocal taken
            taken += 1
            if taken == steps:
                function()

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
    monkeypatch.setattr("autoseg.training.log.draw_training_curves", draw_training_curves)
    trained = fit(make_job())
    assert sorted(file.name for file in folder.iterdir()) == [
        *("log.csv", "log.jsonl", "progress.png", "resume.previous.pt", "resume.pt")
    ]
    assert (folder / "progress.png").read_bytes().startswith(b"\x89PNG")
    log = rows(folder)
    assert [row["epoch"] for row in log] == [0, 1, 2]
    for row in log:
        assert set(row) - {"step_bytes_predicted", "step_bytes_measured"} == {
            *("epoch", "minutes", "seconds", "data_wait", "learning_rate"),
            *("train_loss", "validation_loss", "dice", "mean_dice", "validation_seconds", "share"),
        }
        assert set(row["dice"]) == {"ball", "box"}
        assert 0 <= row["data_wait"] <= 1
    # The rate of an epoch's last step: 2, 5 and 8 of 9 were done before it.
    assert [row["learning_rate"] for row in log] == pytest.approx([0.01 * (1 - n / 9) ** 0.9 for n in (2, 5, 8)])
    assert sum(row["seconds"] for row in log) <= log[-1]["minutes"] * 60 <= trained.minutes * 60


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
    monkeypatch.setattr("autoseg.training.session.training_bytes", lambda stage, dataset, device: 10**9)
    fit(make_job())
    (record,) = (record for record in caplog.records if "memory of a step" in record.message)
    assert record.levelname == "WARNING"
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
    assert "; epoch 0: patch Dice 0." in steps[0][1]


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
    job = make_job(make_stage(training={"seed": 4})) if what == "another plan" else make_job(cases=prepared[:4])
    with pytest.raises(TrainingError) as refused:
        fit(job)
    assert str(refused.value) == (
        f"{folder}: holds a training by another plan, on other cases, on files that have changed since, or by another "
        "version of autoseg. Remove the folder to train anew, or derive the new plan under another name "
        "(autoseg plan … --name NAME)."
    )


def test_checkpoints_of_another_network(make_job, folder):
    """Both are named: without the newest, the one before is read."""
    fit(make_job())
    found = read_checkpoint(folder, make_job().identity)
    for _ in range(2):
        write_checkpoint(folder, {**found, "network": {}})
    told = (
        f"{folder}: the checkpoint does not fit the training it names (RuntimeError). "
        "Remove resume.pt and resume.previous.pt to start this training over."
    )
    for name in ("resume.pt", "resume.previous.pt"):
        with pytest.raises(TrainingError) as refused:
            fit(make_job())
        assert str(refused.value) == told
        (folder / name).unlink()
    fit(make_job())


class Clock:
    """A clock that goes on by 3 seconds in a step, and by 2 in a validation."""

    now = 0.0

    def monotonic(self):
        return self.now

    def after(self, seconds, function):
        def slow(*arguments):
            self.now += seconds
            return function(*arguments)

        return slow


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    for module in (loop, session):
        monkeypatch.setattr(module, "time", made)
    monkeypatch.setattr(loop, "take_step", made.after(3, loop.take_step))
    monkeypatch.setattr(epoch_end, "validate_on_patches", made.after(2, epoch_end.validate_on_patches))
    return made


def timed(make_stage):
    return make_stage(training={"minutes": 1.0, "epochs": 1, "iterations_per_epoch": 4})


@pytest.mark.usefixtures("clock")
def test_training_by_the_clock(make_job, make_stage, folder, caplog):
    """Four epochs of 14 seconds are 56; one more step and a validation are 61, and a minute is over."""
    trained = fit(make_job(timed(make_stage)))
    assert (trained.epochs, trained.iterations) == (5, 17)
    assert [row["seconds"] for row in rows(folder)] == [14, 14, 14, 14, 5]
    assert trained.minutes == pytest.approx(61 / 60)
    # The rate follows the clock, too: the last step begins at 56 of the 58 seconds that there are for steps.
    assert rows(folder)[-1]["learning_rate"] == pytest.approx(0.01 * (1 - 56 / 58) ** 0.9)
    assert [message for message in caplog.messages if "worth having" in message] == [
        "warning: only 17 iterations fit the 1 minute, and 1000 are the fewest that make a model worth having; give it "
        "58.8 minutes or more"
    ]


@pytest.mark.parametrize(("fewest", "minutes"), [(17, 1.0), (1000, None)])
@pytest.mark.usefixtures("clock")
def test_nothing_is_said_of_enough_iterations_or_of_none_by_the_clock(
    make_job, make_stage, monkeypatch, caplog, fewest, minutes
):
    monkeypatch.setattr(loop, "FEWEST_ITERATIONS", fewest)
    fit(make_job(timed(make_stage) if minutes else make_stage()))
    assert not any("worth having" in message for message in caplog.messages)


@pytest.mark.usefixtures("clock")
def test_one_iteration_and_the_time_is_over(make_job, make_stage):
    stage = make_stage(training={"minutes": 0.05, "iterations_per_epoch": 4})
    with pytest.raises(TrainingStopped, match="100% done, after 1 iteration and 0.1 minutes"):
        fit(make_job(stage), calls_after(1, lambda: os.kill(os.getpid(), signal.SIGINT)))


@pytest.mark.usefixtures("clock")
def test_training_by_the_clock_continued(make_job, make_stage, tmp_path, folder):
    """Time between sessions, and the time of an epoch that was lost, is not counted."""
    expected = fit(make_job(timed(make_stage), where=tmp_path / "uninterrupted"))
    job = make_job(timed(make_stage))
    interrupt(job, 10)
    assert [row["seconds"] for row in rows(folder)] == [14, 14]
    found = fit(job)
    assert len(rows(folder)) == len(rows(tmp_path / "uninterrupted"))
    assert found.minutes == pytest.approx(expected.minutes, abs=3 / 60)


def test_long_epochs_are_saved_in_between(make_job, make_stage, tmp_path, folder, clock):
    """And gone on with from there, to the same weights."""
    stage = make_stage(training={"epochs": 1, "iterations_per_epoch": 500, "validation_iterations": 1})
    expected = fit(make_job(stage, where=tmp_path / "uninterrupted"))
    interrupt(make_job(stage), 300)  # 900 seconds, of 600 between two checkpoints
    assert torch.load(folder / "resume.pt", weights_only=True)["iteration"] == 201
    assert_same(fit(make_job(stage)).weights, expected.weights)
    assert timeless(folder) == timeless(tmp_path / "uninterrupted")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_it_stops_with_a_checkpoint(make_job, tmp_path, folder, number):
    """In the middle of an epoch, after the next step; nothing is lost, and it is the same training afterwards."""
    expected = fit(make_job(where=tmp_path / "uninterrupted"))
    with pytest.raises(TrainingStopped) as stopped:
        fit(make_job(), calls_after(4, lambda: os.kill(os.getpid(), number)))
    assert str(stopped.value).startswith(
        "stopped, with a checkpoint: Balls · tiny · fold 0, 56% done, after 5 iterations"
    )
    assert str(stopped.value).endswith("The same command goes on from there.")
    assert torch.load(folder / "resume.pt", weights_only=True)["iteration"] == 5
    assert signal.getsignal(number) != loop.interruption
    assert_same(fit(make_job()).weights, expected.weights)
    assert timeless(folder) == timeless(tmp_path / "uninterrupted")


@pytest.mark.parametrize("hears", [True, False])
def test_processes_stop_where_they_agree_to(make_job, folder, monkeypatch, hears):
    """Whether this one hears of it early or not at all: by itself it would leave the others waiting for it."""
    ticks = count(1)  # one after each of three steps and of two batches of the validation, two after the epoch
    monkeypatch.setattr(session.processes, "largest", lambda seconds, asked: (seconds, float(next(ticks) == 9)))
    with pytest.raises(TrainingStopped, match="after 5 iterations"):
        fit(make_job(), calls_after(1 if hears else -1, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    assert torch.load(folder / "resume.pt", weights_only=True)["iteration"] == 5


@pytest.mark.parametrize(("whole", "epoch", "call"), [(None, 0, 1), (2, 1, 2), (None, 1, 3), (None, 2, 4)])
def test_asked_in_a_validation_it_is_left(make_job, make_stage, tmp_path, folder, monkeypatch, whole, epoch, call):
    """After the batch or window, of two of the weights and two of their average; and done when the training goes on."""
    stage = make_stage(average={"decay": 0.9}, training={"validation_cases": whole})
    expected = fit(make_job(stage, where=tmp_path / "uninterrupted"))
    calls, listen = count(1), session.Session.listen

    def asked(self, done, note):
        if len(self.run.rows) == epoch and next(calls) == call:
            os.kill(os.getpid(), signal.SIGINT)
        listen(self, done, note)

    with monkeypatch.context() as patched, pytest.raises(TrainingStopped):
        patched.setattr(session.Session, "listen", asked)
        fit(make_job(stage))
    assert next(calls) == call + 1
    saved = torch.load(folder / "resume.pt", weights_only=True)
    assert (len(saved["rows"]), saved["iteration"], len(saved["epoch"]["losses"])) == (epoch, 3 * (epoch + 1), 3)
    assert_same(fit(make_job(stage)).weights, expected.weights)
    assert timeless(folder) == timeless(tmp_path / "uninterrupted")


@pytest.mark.usefixtures("clock")
def test_a_validation_that_was_left_takes_no_time(make_job, make_stage, folder, monkeypatch):
    """It is done again: by the clock, there are as many steps as without the interruption."""
    validate = epoch_end.validate_on_patches

    def heard(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        return validate(*arguments)

    with monkeypatch.context() as patched, pytest.raises(TrainingStopped, match="after 4 iterations and 0.2 minutes"):
        patched.setattr(epoch_end, "validate_on_patches", heard)
        fit(make_job(timed(make_stage)))
    assert fit(make_job(timed(make_stage))).iterations == 17
    assert [row["seconds"] for row in rows(folder)] == [14, 14, 14, 14, 5]


def test_asked_twice_it_ends_at_once(make_job, folder):
    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(make_job(), calls_after(4, twice))
    assert torch.load(folder / "resume.pt", weights_only=True)["iteration"] == 3


def test_asked_at_the_very_end_nothing_else_is_begun(make_job, tmp_path, folder):
    """The next time it is finished without another step."""
    expected = fit(make_job(where=tmp_path / "uninterrupted"))
    with pytest.raises(TrainingStopped, match="100% done, after 9 iterations"):
        fit(make_job(), calls_after(9, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    assert len(rows(folder)) == 2  # not even the validation
    trained = fit(make_job())
    assert trained.iterations == 9
    assert_same(trained.weights, expected.weights)


def not_finite(monkeypatch, *iterations):
    """Losses that are NaN at these calls of a step, counted over the whole test."""
    take_step, calls = loop.take_step, iter(range(10**6))
    monkeypatch.setattr(
        loop, "take_step", lambda *arguments: math.nan if next(calls) in iterations else take_step(*arguments)
    )


def test_a_loss_that_is_not_finite_is_skipped(make_job, folder, monkeypatch):
    not_finite(monkeypatch, 3, 5)
    trained = fit(make_job())
    assert (trained.iterations, [row.get("skipped") for row in rows(folder)]) == (9, [None, 2, None])
    assert all(math.isfinite(row["train_loss"]) for row in rows(folder))


def test_an_epoch_without_any_loss(make_job, make_stage, folder, monkeypatch):
    not_finite(monkeypatch, 2, 3)
    fit(make_job(make_stage(training={"epochs": 3, "iterations_per_epoch": 2})))
    assert [row["train_loss"] is None for row in rows(folder)] == [False, True, False]


def test_several_in_a_row_go_back_to_the_last_checkpoint(make_job, folder, monkeypatch, caplog):
    not_finite(monkeypatch, 5, 6, 7)  # iterations 5, 6 and 7; the checkpoint is of iteration 3 and 6
    trained = fit(make_job())
    assert trained.iterations == 9
    # Half of the planned rates from iteration 6 on.
    assert [row["learning_rate"] for row in rows(folder)] == pytest.approx(
        [part * 0.01 * (1 - n / 9) ** 0.9 for part, n in ((1, 2), (1, 5), (0.5, 8))]
    )
    assert [record.message for record in caplog.records if "not finite" in record.message] == [
        "warning: the loss was not finite (NaN or infinity) 3 times in a row at iteration 7: going back to iteration 6 "
        "with half the learning rate"
    ]


def test_a_third_time_is_an_error(make_job, folder, monkeypatch):
    interrupt(make_job(), 4)
    before = (folder / "resume.pt").read_bytes()
    monkeypatch.setattr(loop, "take_step", lambda *arguments: math.inf)
    with pytest.raises(TrainingError) as refused:
        fit(make_job())
    assert str(refused.value) == (
        "Balls · tiny · fold 0: the loss was not finite (NaN or infinity) 3 times in a row, after 2 setbacks, at 0.25 "
        "of the planned learning rate. Look for NaN or extreme values with 'autoseg check', lower the learning rate "
        "(--set stages.tiny.optimizer.learning_rate=0.001), or train in float32 "
        "(--set stages.tiny.training.precision=float32). The last checkpoint is kept."
    )
    assert (folder / "resume.pt").read_bytes() == before


def test_memory_that_runs_out(make_job, monkeypatch):
    def run_out(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore.")

    monkeypatch.setattr(loop, "take_step", run_out)
    with pytest.raises(TrainingError) as refused:
        fit(make_job())
    assert re.fullmatch(
        r"the memory of cpu ran out on a batch of 2 patches of .* voxels: a step was predicted to take 0.00 GB "
        r"\(CUDA out of memory. Tried to allocate 2.00 GiB.\). Derive a plan for less memory "
        r"\(autoseg plan … --memory GB --name NAME\). End what else uses the device, if "
        r"anything does. The last checkpoint is kept.",
        str(refused.value),
    )


def test_it_stops_when_nothing_improves_with_the_best_weights(make_job, make_stage, folder):
    """A tolerance that nothing meets: the first epoch stays the best."""
    stage = make_stage(stopping={"quantity": "train_loss", "patience": 2, "tolerance": 100.0})
    one = make_stage(training={"epochs": 1}, schedule={"kind": "constant"})
    stage = stage.model_copy(
        update={"schedule": one.schedule, "training": stage.training.model_copy(update={"epochs": 9})}
    )
    trained = fit(make_job(stage))
    assert (trained.epochs, trained.kept) == (3, "best")
    assert (
        trained.stopped
        == "the training loss has not improved for 2 epochs (best: " + trained.stopped.partition("best: ")[2]
    )
    assert_same(trained.weights, fit(make_job(one, where=folder.with_name("one"))).weights)


@pytest.mark.parametrize(("decay", "kept"), [(0.5, None), (0.9999, None)])
def test_the_better_of_last_and_average_is_kept(make_job, make_stage, folder, decay, kept):
    trained = fit(make_job(make_stage(average={"decay": decay})))
    last = rows(folder)[-1]
    better = (last["average_mean_dice"] or 0) >= (last["mean_dice"] or 0)
    assert trained.kept == ("average" if better else "last")
    saved = torch.load(folder / "resume.pt", weights_only=True)
    assert_same(trained.weights, saved["average" if better else "network"])


def test_an_average_continued_is_the_same(make_job, make_stage, tmp_path, folder):
    stage = make_stage(average={"decay": 0.9})
    fit(make_job(stage, where=tmp_path / "uninterrupted"))
    interrupt(make_job(stage), 5)
    fit(make_job(stage))
    assert_same(
        *(
            torch.load(where / "resume.pt", weights_only=True)["average"]
            for where in (folder, tmp_path / "uninterrupted")
        )
    )


def test_a_longer_training_goes_on_from_the_end_of_the_shorter(make_job, make_stage, folder, caplog):
    fit(make_job(make_stage(training={"epochs": 2})))
    with caplog.at_level("INFO", logger="autoseg.training"):
        trained = fit(make_job(make_stage(training={"epochs": 4})))
    assert (trained.epochs, trained.iterations) == (4, 12)
    assert [row["learning_rate"] for row in rows(folder)] == pytest.approx(
        [0.01 * (1 - n / total) ** 0.9 for n, total in ((2, 6), (5, 6), (8, 12), (11, 12))]
    )
    assert "it is made longer: the learning rate goes on at 0.0054, after 0.002 at its end" in caplog.messages


def test_a_label_that_is_never_found_is_told_of(make_job, make_stage, monkeypatch, caplog):
    validate = epoch_end.validate_on_patches

    def without_box(*arguments):
        scores = validate(*arguments)
        return scores._replace(dice=scores.dice | {"box": 0.0})

    monkeypatch.setattr(epoch_end, "validate_on_patches", without_box)
    fit(make_job(make_stage(training={"epochs": 6})))
    said = [record.message for record in caplog.records if "Dice of 0" in record.message]
    assert len(said) == 2  # after a third, and at the end
    assert said[0].startswith(
        "warning: box: a validation Dice of 0 in every epoch so far; the network does not find it."
    )


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


def test_without_validation_cases_the_training_cases_are_scored(make_job, prepared, folder):
    fit(make_job(cases=prepared[:3]))
    assert rows(folder)[-1]["dice"].keys() == {"ball", "box"}
    assert rows(folder)[-1]["mean_dice"] is not None
