"""`autoseg evaluate`: its options, and what it says of folders it cannot score."""

from __future__ import annotations

import json

import numpy as np
import pytest

from autoseg.dataset import write_label_map
from autoseg.evaluation import read_scores
from autoseg.geometry import plain_grid


@pytest.fixture
def folders(tmp_path):
    """Predictions of case a, moved by one voxel of 2 mm; references of a and b; and what the labels are called."""
    grid = plain_grid((4, 6, 6), (3.0, 2.0, 2.0))
    maps = np.zeros((2, 4, 6, 6), np.uint8)
    maps[0, 1:3, 1:4, 1:4] = maps[1, 1:3, 1:4, 2:5] = 1
    maps[:, 1:3, 4, 1:4] = 2
    for name, label_map in (("predictions/a", maps[0]), ("labelsTr/a", maps[1]), ("labelsTr/b", maps[1])):
        write_label_map(tmp_path / f"{name}.nii.gz", label_map, grid)
    described = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "kidney": 1, "tumour": 2}}
    (tmp_path / "dataset.json").write_text(json.dumps({**described, "file_ending": ".nii.gz", "numTraining": 2}))
    return tmp_path


def evaluate(autoseg, folders, *options):
    output = folders / "scores.json"
    ran = autoseg("evaluate", folders / "predictions", folders / "labelsTr", "-o", output, "--jobs", 1, *options)
    return ran, read_scores(output) if output.exists() else None


def test_a_missing_prediction_stops(autoseg, folders):
    ran, scores = evaluate(autoseg, folders)
    assert (ran.code, ran.out, scores) == (2, "", None)
    assert f"{folders / 'predictions'}: no prediction of b; there are references of it among the 2 in" in ran.err


@pytest.mark.parametrize(
    ("missing", "cases", "note"),
    [
        ("empty", ["a", "b"], "Scored as if nothing was found, for want of a prediction: 1 of the cases."),
        ("skip", ["a"], "Not scored, for want of a prediction: 1 of the references."),
    ],
)
def test_unless_it_is_said_what_it_counts_as(autoseg, folders, missing, cases, note):
    ran, scores = evaluate(autoseg, folders, "--missing", missing)
    assert ran.code == 0
    assert note in ran.out
    assert list(scores.cases) == cases


def test_tolerance_and_region(autoseg, folders):
    ran, scores = evaluate(
        autoseg, folders, "--missing", "skip", "--tolerance", 1.5, "--region", "both = 1, 2", "--region", "same=1"
    )
    assert ran.code == 0
    assert "Surface Dice within 1.5 mm." in ran.out
    assert list(scores.dice["a"]) == ["kidney", "tumour", "both", "same"]
    assert scores.dice["a"]["same"] == scores.dice["a"]["kidney"] == pytest.approx(2 * 12 / 36)
    assert scores.dice["a"]["both"] == pytest.approx(2 * 18 / 48)
    assert scores.cases["a"]["kidney"].surface_dice < 1
    assert evaluate(autoseg, folders, "--missing", "skip")[1].cases["a"]["kidney"].surface_dice == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tolerance", "-1"], "-1 is not a number of mm, 0 or more"),
        (["--tolerance", "1e308"], "1e+308 is not a number of mm, 0 or more and 1e+06 at most"),
        (["--tolerance", "nan"], "nan is not a number of mm, 0 or more"),
        (["--missing", "ignore"], "'ignore' is not one of 'error', 'empty', 'skip'"),
        (["--region", "both"], "'both' is not NAME=VALUE,VALUE,…, such as organ=1,2"),
        (["--region", "=1,2"], "'=1,2' is not NAME=VALUE,VALUE,…"),
        (["--region", "both=1,x"], "'both=1,x' is not NAME=VALUE,VALUE,…"),
        (["--region", "both=1", "--region", "both=1,2"], "Invalid value for --region: two regions have one name"),
        (["--region", "both=1,3"], "region 'both' holds 3; a region consists of labels other than the background"),
        (["--region", "mean=1,2"], "region 'mean': in scores this name means something else."),
        (["--region", "kidney=1,2"], "region 'kidney': something of this name is scored already."),
    ],
)
def test_options_that_make_no_sense(autoseg, folders, options, message):
    ran, scores = evaluate(autoseg, folders, *options)
    assert (ran.code, scores) == (2, None)
    assert message in " ".join(ran.err.replace("│", " ").split())


def test_a_tolerance_of_minus_nothing_is_none(autoseg, folders):
    ran, scores = evaluate(autoseg, folders, "--missing", "skip", "--tolerance", "-0.0")
    assert ran.code == 0
    assert "Surface Dice within 0 mm." in ran.out
    assert str(scores.tolerance_mm) == "0.0"


def test_a_place_for_scores_is_looked_at_before_scoring(autoseg, folders, monkeypatch):
    monkeypatch.setattr("autoseg.evaluation.evaluate", None)  # calling it would be a TypeError
    target = folders / "dataset.json" / "scores.json"
    ran = autoseg("evaluate", folders / "predictions", folders / "labelsTr", "-o", target)
    assert ran.code == 2
    assert f"{folders / 'dataset.json'}: a file, and a folder is needed there. Give another name." in ran.err
