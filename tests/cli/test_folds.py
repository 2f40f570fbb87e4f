"""Folds by patient, asked for once and kept to by every later command."""

from __future__ import annotations

import json
import shutil

import pytest

TABLE = "case,patient\nkidneys_000,a\nkidneys_001,a\nkidneys_002,b\nkidneys_003,b\nkidneys_004,c\n"


@pytest.fixture
def own_work(own_work):
    """Without models: those that were trained in other folds keep them."""
    shutil.rmtree(own_work / "models")
    return own_work


@pytest.fixture
def patients(tmp_path):
    (tmp_path / "patients.csv").write_text(TABLE)
    return f"{tmp_path / 'patients.csv'}:patient"


def validated(work):
    folds = json.loads((work / "folds.json").read_text())["folds"]
    return sorted("".join(name[-1] for name in fold["validation"]) for fold in folds)


def trained_folds(ran):
    return [fold for fold in range(6) if f"3d_fullres, fold {fold}: to train" in ran.err]


def test_run_keeps_patients_together(autoseg, kidneys, own_work, patients, monkeypatch):
    before = (own_work / "folds.json").read_bytes()
    command = ("run", kidneys, "-w", own_work, "--name", "again", "--stage", "3d_fullres", "--dry-run", "--memory", 1)
    ran = autoseg(*command, "--group-by", patients)
    assert ran.code == 0, ran.err
    assert "3 folds of 1 to 2 cases in 3 groups" in ran.err
    assert trained_folds(ran) == [0, 1, 2]
    assert (own_work / "folds.json").read_bytes() == before  # it was not to be done
    monkeypatch.setattr("autoseg.workflow.pipeline.preprocess", lambda *arguments: None)
    monkeypatch.setattr("autoseg.workflow.pipeline.train", lambda *arguments, **_: None)
    monkeypatch.setattr("autoseg.cli.run.show_model", lambda dataset, folder: None)
    assert autoseg(*command[:-3], "--memory", 1, "--group-by", patients).code == 0
    assert validated(own_work) == ["01", "23", "4"]
    assert trained_folds(autoseg(*command)) == [0, 1, 2]  # it need not be said again
    assert autoseg(*command[:-3], "--memory", 1, "--stratify", "--jobs", 1).code == 0
    assert validated(own_work) == ["0", "1", "2", "3", "4"]


def test_preprocess_and_train_keep_patients_together(autoseg, kidneys, own_work, patients):
    ran = autoseg("preprocess", kidneys, "-w", own_work, "--stage", "3d_fullres", "--group-by", patients, "--jobs", 1)
    assert ran.code == 0, ran.err
    assert validated(own_work) == ["01", "23", "4"]
    ran = autoseg("train", kidneys, "-w", own_work, "--stage", "3d_fullres", "--fold", 1, "--workers", 0, "--jobs", 1)
    assert ran.code == 0, ran.err
    model = json.loads((own_work / "models/default/3d_fullres/fold_1/model.json").read_text())
    assert "".join(sorted(name[-1] for name in model["validation_cases"])) in validated(own_work)
    ran = autoseg("train", kidneys, "-w", own_work, "--stage", "3d_fullres", "--fold", 3)
    assert (ran.code, "no fold 3: this dataset has folds 0 to 2, and 'all'." in ran.err) == (2, True)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("kidneys", "cases cannot be grouped by 'kidneys': it has 0 groups in parentheses, not one."),
        ("(kid)", "all 5 cases are of one group, 'kid'; cross-validation takes two at least."),
        ("nowhere.csv:patient", "nowhere.csv: cannot be read as a table"),
    ],
)
def test_rules_that_do_not_group(autoseg, kidneys, own_work, rule, message, contents):
    before = contents(own_work)
    for command in ("run", "preprocess", "train"):
        ran = autoseg(command, kidneys, "-w", own_work, "--group-by", rule)
        assert ran.code == 2
        assert message in ran.err
    assert contents(own_work) == before


def test_a_patient_on_both_sides_of_the_dataset_s_own_splits(autoseg, own_kidneys, own_work, patients):
    halves = {"train": ["kidneys_000", "kidneys_002"], "val": ["kidneys_001"]}
    (own_kidneys / "splits_final.json").write_text(json.dumps([halves]))
    ran = autoseg("run", own_kidneys, "-w", own_work, "--group-by", patients)
    assert ran.code == 2
    assert "fold 0 trains on 'kidneys_000' and validates on 'kidneys_001', all of group 'a'" in ran.err
