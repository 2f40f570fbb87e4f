"""Folds that are asked for: recorded, kept to, and checked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from autoseg.dataset import Dataset, make_folds
from autoseg.errors import DatasetError, WorkspaceError
from autoseg.fingerprint import write_fingerprint
from autoseg.workflow.folds import record_asked_folds
from autoseg.workflow.lr_range import measure_rate_range
from autoseg.workflow.pipeline import chosen_folds
from autoseg.workflow.preparation import preprocess

PAIRS = r"_00([0-4])$"  # each of kidneys_000 to kidneys_004 by itself
ODD = "case,patient\nkidneys_000,a\nkidneys_001,a\nkidneys_002,b\nkidneys_003,b\nkidneys_004,c\n"


@pytest.fixture
def patients(tmp_path: Path) -> str:
    (tmp_path / "patients.csv").write_text(ODD)
    return f"{tmp_path / 'patients.csv'}:patient"


def validated(folds) -> list[set[str]]:
    return sorted(({name[-1] for name in fold.validation} for fold in folds), key=sorted)


def test_groups_are_recorded_and_kept_to(dataset, plan, workspace, patients, caplog):
    caplog.set_level("INFO")
    record_asked_folds(dataset, workspace, group_by=patients)
    assert "3 folds of 1 to 2 cases in 3 groups" in caplog.messages
    folds = workspace.folds_of(dataset)
    assert validated(folds) == [{"0", "1"}, {"2", "3"}, {"4"}]
    assert list(chosen_folds(dataset, workspace, None)) == [0, 1, 2]
    preprocess(dataset, plan, "3d_fullres", workspace, processes=1)
    assert [workspace.read_fold(number) for number in range(3)] == list(folds)
    assert json.loads(workspace.folds_file.read_text())["asked"] == {"group_by": patients, "stratify": False}
    with pytest.raises(WorkspaceError, match="no fold 3: this dataset has folds 0 to 2"):
        chosen_folds(dataset, workspace, [3])


def test_a_range_test_keeps_to_them(dataset, plan, workspace, patients, monkeypatch):
    record_asked_folds(dataset, workspace, group_by=patients)

    def seen(job, *_):
        raise KeyboardInterrupt([case.name for case in job.validation])

    monkeypatch.setattr("autoseg.workflow.lr_range.find_rate_range", seen)
    with pytest.raises(KeyboardInterrupt) as raised:
        measure_rate_range(dataset, plan, "3d_fullres", 0, workspace, device="cpu", workers=0, processes=1)
    assert raised.value.args[0] == list(workspace.folds_of(dataset)[0].validation)
    assert len(raised.value.args[0]) != len(make_folds(dataset)[0].validation)


def test_asking_again_replaces_them_and_asking_nothing_does_not(dataset, workspace, patients, caplog):
    record_asked_folds(dataset, workspace, group_by=patients)
    before = workspace.folds_file.read_bytes()
    record_asked_folds(dataset, workspace)
    assert workspace.folds_file.read_bytes() == before
    caplog.set_level("INFO")
    record_asked_folds(dataset, workspace, group_by=PAIRS)
    assert "5 folds of 1 case in 5 groups" in caplog.messages
    assert validated(workspace.folds_of(dataset)) == [{"0"}, {"1"}, {"2"}, {"3"}, {"4"}]


def test_nothing_asked_nothing_changed(dataset, plan, workspace):
    record_asked_folds(dataset, workspace)
    assert not workspace.path.exists()
    assert workspace.folds_of(dataset) == make_folds(dataset)
    workspace.record_folds(dataset)
    assert "asked" not in json.loads(workspace.folds_file.read_text())


def test_stratified(dataset, workspace):
    """Each of five cases is a fold; which one differs from nnU-Net's order."""
    record_asked_folds(dataset, workspace, stratify=True, processes=1)
    assert validated(workspace.folds_of(dataset)) == [{"0"}, {"1"}, {"2"}, {"3"}, {"4"}]
    assert json.loads(workspace.folds_file.read_text())["asked"] == {"group_by": None, "stratify": True}


def test_a_dataset_that_gained_a_case(own_dataset, workspace, patients):
    record_asked_folds(own_dataset, workspace, group_by=patients)
    for file in own_dataset.path.glob("*Tr/kidneys_004*"):
        shutil.copy(file, file.with_name(file.name.replace("_004", "_009")))
    grown = Dataset.open(own_dataset.path)
    with pytest.raises(WorkspaceError) as raised:
        workspace.folds_of(grown)
    assert str(raised.value) == (
        f"{workspace.folds_file}: the folds were asked for when the dataset had other cases; it gained or lost "
        "kidneys_009. Ask again (--group-by, --stratify, --split), or remove the file to have nnU-Net's folds."
    )
    for file in own_dataset.path.glob("*Tr/kidneys_004*"):
        for number in range(10, 15):
            shutil.copy(file, file.with_name(file.name.replace("_004", f"_0{number}")))
    gained = "kidneys_009, kidneys_010, kidneys_011, kidneys_012, kidneys_013 and 1 more"
    with pytest.raises(WorkspaceError, match=rf"it gained or lost {gained}\. Ask again"):
        workspace.folds_of(Dataset.open(own_dataset.path))
    record_asked_folds(grown, workspace, group_by=r"_00(\d)")
    assert len(workspace.folds_of(grown)) == 5
    workspace.folds_file.unlink()
    assert workspace.folds_of(grown) == make_folds(grown)


def test_splits_of_the_dataset_stay_and_are_checked(own_dataset, workspace, patients):
    names = [case.name for case in own_dataset.cases]
    (own_dataset.path / "splits_final.json").write_text(json.dumps([{"train": names[:2], "val": names[2:]}]))
    split = Dataset.open(own_dataset.path)
    record_asked_folds(split, workspace, group_by=patients)
    assert workspace.folds_of(split) == make_folds(split)
    (own_dataset.path / "splits_final.json").write_text(json.dumps([{"train": names[:3], "val": names[3:]}]))
    parted = Dataset.open(own_dataset.path)
    with pytest.raises(
        DatasetError, match=r"splits_final\.json: fold 0 trains on 'kidneys_002' and validates on 'kidneys_003'"
    ):
        record_asked_folds(parted, workspace, group_by=patients)
    with pytest.raises(DatasetError, match=r"brings splits of its own\. Remove them, or leave out --stratify\."):
        record_asked_folds(parted, workspace, stratify=True)


def test_splits_of_the_dataset_win_over_what_was_asked_before(own_dataset, workspace, patients):
    record_asked_folds(own_dataset, workspace, group_by=patients)
    names = [case.name for case in own_dataset.cases]
    (own_dataset.path / "splits_final.json").write_text(json.dumps([{"train": names[:2], "val": names[2:]}]))
    split = Dataset.open(own_dataset.path)
    assert workspace.folds_of(split) == make_folds(split)


def test_the_workspace_of_another_dataset_is_left_alone(dataset, fingerprint, workspace, patients):
    others = tuple(case.model_copy(update={"name": f"other_{case.name}"}) for case in fingerprint.cases)
    write_fingerprint(workspace.fingerprint_file, fingerprint.model_copy(update={"cases": others}))
    with pytest.raises(WorkspaceError, match="this workspace belongs to dataset"):
        record_asked_folds(dataset, workspace, group_by=patients)
    assert not workspace.folds_file.exists()


def test_folds_that_models_were_trained_in_stay(dataset, workspace, patients):
    record_asked_folds(dataset, workspace, group_by=patients)
    before = workspace.folds_file.read_text()
    begun = workspace.path / "models" / "default" / "2d" / "fold_0" / "resume.pt"
    begun.parent.mkdir(parents=True)
    begun.write_bytes(b"")
    record_asked_folds(dataset, workspace, group_by=patients)
    with pytest.raises(WorkspaceError) as refused:
        record_asked_folds(dataset, workspace, stratify=True)
    assert str(refused.value) == (
        f"{begun.parent}: models were trained in other folds than those asked for now. Leave --group-by, "
        "--stratify and --split as they were, or train in another workspace (-w DIR)."
    )
    assert workspace.folds_file.read_text() == before


def test_one_split_with_cases_kept_for_a_test(dataset, plan, workspace, caplog):
    caplog.set_level("INFO")
    record_asked_folds(dataset, workspace, split="3/1/1")
    [fold] = workspace.folds_of(dataset)
    names = {case.name for case in dataset.cases}
    kept = names - {*fold.training, *fold.validation}
    assert (len(fold.training), len(fold.validation), len(kept)) == (3, 1, 1)
    assert f"one split, 3/1/1 read as cases: 3 to train, 1 to validate; kept for a test: {min(kept)}" in caplog.text
    assert list(chosen_folds(dataset, workspace, None)) == [0]
    preprocess(dataset, plan, "3d_fullres", workspace, processes=1)
    assert workspace.read_fold(0) == fold
    assert set(workspace.read_fold("all").training) == names - kept
    record_asked_folds(dataset, workspace, split="80/20", stratify=True, processes=1)
    [fold] = workspace.folds_of(dataset)
    assert {*fold.training, *fold.validation} == names and len(fold.validation) == 1
    assert "one split, 80/20 read as shares of 5 cases: 4 to train, 1 to validate" in caplog.messages


@pytest.mark.parametrize("split", ["5", "4/", "4/-1", "4/0", "a/b", "1/1/1/1", "0.9/0.1"])
def test_splits_that_are_none(dataset, workspace, split):
    with pytest.raises(DatasetError) as refused:
        record_asked_folds(dataset, workspace, split=split)
    assert str(refused.value) == (
        f"--split {split}: expected TRAIN/VALIDATION or TRAIN/VALIDATION/TEST, in cases or shares of them, as in "
        "190/20 or 80/10/10."
    )


def test_a_split_that_leaves_nothing(dataset, workspace, own_dataset):
    with pytest.raises(DatasetError, match="--split 190/20: 5 cases in 5 groups leave one of these parts empty. Give"):
        record_asked_folds(dataset, workspace, split="190/20")
    (own_dataset.path / "splits_final.json").write_text(
        json.dumps([{"train": ["kidneys_000"], "val": ["kidneys_001"]}])
    )
    with pytest.raises(DatasetError, match="brings splits of its own. Remove them, or leave out --split"):
        record_asked_folds(Dataset.open(own_dataset.path), workspace, split="4/1")
