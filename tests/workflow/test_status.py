"""What is done and what is left, told from files that were written by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from autoseg.cli.status import describe
from autoseg.dataset import Fold
from autoseg.evaluation import Measures, Scores
from autoseg.inference.model import Model
from autoseg.plan import with_settings
from autoseg.workflow import trained
from autoseg.workflow.status import Forecast, JobState, expected_minutes, forecast, list_states


def finish(workspace, plan, stage, fold, dice, minutes):
    folder = workspace.fold_folder(plan, stage, fold)
    Scores(cases={"a": {"kidney": Measures(dice=dice)}}).write(folder / "validation" / "scores.json")
    model = Model(
        plan=plan, stage=stage, fold=fold, training_cases=(), validation_cases=(), trained={"minutes": minutes}
    )
    (folder / "model.json").write_text(model.model_dump_json())
    (folder / "weights.safetensors").touch()


def log(workspace, plan, stage, fold, **row):
    folder = workspace.fold_folder(plan, stage, fold)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log.jsonl").write_text('{"epoch": 0}\n' + json.dumps(row) + "\n")


@pytest.fixture
def begun(plan, workspace):
    """A plan of 10 epochs; fold 0 of 2d is trained, fold 1 is at epoch 4 of 10."""
    workspace.write_folds([Fold(("a", "b"), ("c",))] * 3)
    longer = with_settings(plan, ["stages.*.training.epochs=10"])
    finish(workspace, longer, "2d", 0, 0.75, 20.0)
    log(workspace, longer, "2d", 1, epoch=3, minutes=8.0, share=0.4)
    return longer


def test_the_state_of_every_model(begun, workspace):
    states = list_states(workspace, begun)
    states = [one._replace(minutes_left=one.minutes_left and round(one.minutes_left, 6)) for one in states]
    assert states == [
        JobState("2d", 0, "trained", dice=0.75),
        JobState("2d", 1, "begun", epoch=4, epochs=10, minutes_left=12.0),
        JobState("2d", 2, "to train", minutes_left=20.0),
        *(JobState("3d_fullres", fold, "to train") for fold in range(3)),
    ]
    workspace.fold_folder(begun, "3d_fullres", "all").mkdir(parents=True)
    assert list_states(workspace, begun)[-1] == JobState("3d_fullres", "all", "to train")


def test_a_model_trained_by_the_clock(begun, workspace):
    timed = with_settings(begun, ["stages.*.training.minutes=30"])
    log(workspace, timed, "3d_fullres", 0, epoch=5, minutes=10.0, share=1 / 3)
    [state] = [state for state in list_states(workspace, timed) if state.state == "begun" and state.stage != "2d"]
    assert (state.epoch, state.epochs, round(state.minutes_left, 6)) == (6, 18, 20)
    assert expected_minutes(workspace, timed, "3d_fullres") == 30


def test_a_time_told_by_a_training_under_way(begun, workspace):
    log(workspace, begun, "3d_fullres", 0, epoch=4, minutes=5.0, share=0.5)
    assert expected_minutes(workspace, begun, "3d_fullres") == 10


@pytest.mark.parametrize(
    "damage",
    [
        b'{"epoch": 4, "minu',
        b"\0" * 40,
        b"\xff\xfe",
        b"[]",
        b"3",
        b"null",
        b"[" * 100_000,
        b'{"epoch": 4, "minutes": 10.0}',
        b'{"epoch": 4, "minutes": "10", "share": 0.5}',
        b'{"epoch": null, "minutes": 10.0, "share": 0.5}',
        b'{"epoch": 4, "minutes": 10.0, "share": NaN}',
        b'{"epoch": 4, "minutes": Infinity, "share": 0.5}',
    ],
    ids=range(12),
)
def test_a_damaged_log_tells_what_is_whole_of_it(begun, workspace, damage):
    file = workspace.fold_folder(begun, "2d", 1) / "log.jsonl"
    whole = list_states(workspace, begun)
    file.write_bytes(file.read_bytes() + damage)
    assert list_states(workspace, begun) == whole
    file.write_bytes(damage)
    assert list_states(workspace, begun)[1] == JobState("2d", 1, "to train", minutes_left=20.0)
    assert forecast(workspace, begun, ["2d"]).training == 20


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("model.json", b'{"format": 1, "pl', "not a JSON file"),
        ("model.json", b"\0" * 40, "not a JSON file"),
        ("model.json", b"[]", "not a model of format 1"),
        ("model.json", b'{"trained": 3}', "not a model of format 1"),
        (trained.SCORES, b"", "not a JSON file"),
        (trained.SCORES, b"[]", "does not hold scores"),
    ],
    ids=range(6),
)
def test_a_damaged_model_is_told_of_among_the_others(begun, workspace, file, content, problem):
    finish(workspace, begun, "2d", 2, 0.5, 40.0)
    path = workspace.fold_folder(begun, "2d", 2) / file
    path.write_bytes(content)
    states = list_states(workspace, begun)
    assert states[2].state == "damaged"
    assert states[2].problem.startswith(f"{path}: ") and problem in states[2].problem
    assert describe(states[2]) == f"damaged: {states[2].problem}"
    assert [one.state for one in states[:2]] == ["trained", "begun"]
    assert forecast(workspace, begun, ["2d"]).training == 20.0  # as the others took


def test_a_forecast_of_what_is_measured(begun, workspace):
    """Fold 0 of 2d trained for 20 minutes and was validated in 3; nothing is known of 3d_fullres."""
    folder = workspace.fold_folder(begun, "2d", 0)
    os.utime(folder / "model.json", (1000, 1000))
    os.utime(folder / trained.SCORES, (1180, 1180))
    assert forecast(workspace, begun, ["2d", "2d"]) == Forecast(40, 6, 0, ("preprocessing",))
    both = ["2d", "3d_fullres"]
    unknown = ("preprocessing", "training of 1 model", "validation", "predictions for pairs of stages")
    assert forecast(workspace, begun, both, both) == Forecast(20, 3, 9, unknown)
    assert forecast(workspace, begun, [], ["2d"]) == Forecast(0, 0, 9, ("preprocessing",))


def test_torch_is_not_needed():
    code = (
        "import sys, autoseg.workflow.status, autoseg.workflow.selection, autoseg.cli.main\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
