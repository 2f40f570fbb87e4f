"""The whole path, and what is found out before anything long begins."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

from autoseg.errors import AutosegError, DatasetError, TrainingError, WorkspaceError
from autoseg.workflow import pipeline
from autoseg.workflow.pipeline import ModelJob, list_jobs, plan_dataset, run_job
from autoseg.workflow.request import Request

ASKED = Request(device="cpu", memory_gb=4.0)


def test_a_dataset_is_checked_once(dataset, workspace, monkeypatch):
    checked = []

    def check(*arguments):
        checked.append(arguments)
        return []

    monkeypatch.setattr(pipeline, "check_dataset", check)
    plan = plan_dataset(dataset, workspace, ASKED, jobs=1)
    assert workspace.read_plan() == plan
    assert plan_dataset(dataset, workspace, ASKED, jobs=1) == plan
    assert len(checked) == 1


def test_a_faulty_dataset_is_not_planned_for(own_dataset, workspace):
    labels = own_dataset.path / "labelsTr"
    (labels / "kidneys_001.nii.gz").unlink()
    truncated = labels / "kidneys_003.nii.gz"
    truncated.write_bytes(truncated.read_bytes()[:100])
    with pytest.raises(DatasetError) as raised:
        plan_dataset(own_dataset, workspace, ASKED, jobs=1)
    text = str(raised.value)
    assert text.startswith(f"{own_dataset.path}: 2 problems to mend before training\n\n")
    assert re.search(r"^case 'kidneys_001': ", text, re.MULTILINE)
    assert re.search(r"^case 'kidneys_003': ", text, re.MULTILINE)
    assert not workspace.path.exists()


def test_the_models_to_train(dataset, plan, trained):
    assert list_jobs(dataset, plan, trained, "3d_fullres", [0, 1, "all"]) == [
        ModelJob("3d_fullres", 0, True),
        ModelJob("3d_fullres", 1, False),
        ModelJob("3d_fullres", "all", False),
    ]
    assert list_jobs(dataset, plan, trained, None, [0]) == [ModelJob("2d", 0, False), ModelJob("3d_fullres", 0, True)]


CANNOT = (
    "stage '3d_cascade' of plan 'default' refines the prediction of '3d_fullres'; such stages can be planned, but not "
    "trained yet. Train one of the others: 2d, 3d_fullres."
)


def test_a_stage_that_refines_another_is_left_out_once(dataset, cascade, trained, caplog):
    assert list_jobs(dataset, cascade, trained, None, [0, 1]) == [
        ModelJob("2d", 0, False),
        ModelJob("2d", 1, False),
        ModelJob("3d_fullres", 0, True),
        ModelJob("3d_fullres", 1, False),
    ]
    assert [record.message for record in caplog.records if "3d_cascade" in record.message] == [
        "leaving out 3d_cascade: a stage that refines another's prediction cannot be trained yet"
    ]


def test_a_stage_that_refines_another_is_refused_by_name(dataset, cascade, workspace):
    with pytest.raises(TrainingError) as raised:
        list_jobs(dataset, cascade, workspace, "3d_cascade", [0])
    assert str(raised.value) == CANNOT


def test_unknown_stages_and_folds_are_told_before_anything_is_trained(dataset, plan, workspace):
    with pytest.raises(WorkspaceError, match=r"plan 'default' has no stage '4d'\. There is: 2d, 3d_fullres\."):
        list_jobs(dataset, plan, workspace, "4d", [0])
    with pytest.raises(WorkspaceError, match=r"no fold 7: this dataset has folds 0 to 4, and 'all'\."):
        list_jobs(dataset, plan, workspace, None, [0, 7])
    assert not workspace.path.exists()


@pytest.mark.parametrize("by_plan", [True, False])
def test_an_absent_device_is_told_before_anything_is_prepared(dataset, plan, workspace, by_plan, monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    elsewhere = plan.model_copy(update={"budget": plan.budget.model_copy(update={"device": "mps"})})
    job = ModelJob("2d", 0, False)
    with pytest.raises(AutosegError, match="device 'mps' is not to be had on this machine"):
        if by_plan:
            run_job(job, dataset, elsewhere, workspace)
        else:
            run_job(job, dataset, plan, workspace, device="mps")
    assert not workspace.path.exists()


def test_a_job_is_prepared_for_trained_and_scored(dataset, plan, workspace):
    folder = run_job(ModelJob("2d", 2, False), dataset, plan, workspace, workers=0, jobs=1)
    assert folder == workspace.fold_folder(plan, "2d", 2)
    assert (folder / "validation" / "scores.json").is_file()
    assert list_jobs(dataset, plan, workspace, "2d", [2]) == [ModelJob("2d", 2, True)]
    assert run_job(ModelJob("2d", 2, True), dataset, plan, workspace, workers=0, jobs=1) == folder


@pytest.mark.parametrize("folds", [None, [0]])
def test_a_single_case_is_trained_on_without_validation_or_not_at_all(dataset, plan, workspace, folds):
    alone = replace(dataset, cases=dataset.cases[:1])
    with pytest.raises(WorkspaceError) as raised:
        list_jobs(alone, plan, workspace, "2d", folds)
    assert str(raised.value) == (
        "fold 0 has nothing to train on: there is one training case: a model that learns from it cannot be validated. "
        "Add cases with label maps, or train without validation (--folds all; autoseg train … --fold all)."
    )
    assert list_jobs(alone, plan, workspace, "2d", ["all"]) == [ModelJob("2d", "all", False)]
    workspace.record_folds(alone)
    assert workspace.read_fold("all") == ((alone.cases[0].name,), ())
