"""The whole path, and what is found out before anything long begins."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

from autoseg.errors import AutosegError, DatasetError, WorkspaceError
from autoseg.plan.previous import Previous
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
    plan = plan_dataset(dataset, workspace, ASKED, processes=1)
    assert workspace.read_plan() == plan
    assert plan_dataset(dataset, workspace, ASKED, processes=1) == plan
    assert len(checked) == 1


def test_a_faulty_dataset_is_not_planned_for(own_dataset, workspace):
    labels = own_dataset.path / "labelsTr"
    (labels / "kidneys_001.nii.gz").unlink()
    truncated = labels / "kidneys_003.nii.gz"
    truncated.write_bytes(truncated.read_bytes()[:100])
    with pytest.raises(DatasetError) as raised:
        plan_dataset(own_dataset, workspace, ASKED, processes=1)
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


def test_all_folds_of_a_stage_come_before_one_that_builds_on_it(dataset, cascade, trained):
    first = [ModelJob("3d_fullres", 0, True), *(ModelJob("3d_fullres", fold, False) for fold in range(1, 5))]
    assert list_jobs(dataset, cascade, trained, "3d_cascade", [1]) == [*first, ModelJob("3d_cascade", 1, False)]
    assert list_jobs(dataset, cascade, trained, "3d_cascade", ["all"]) == [*first, ModelJob("3d_cascade", "all", False)]
    assert list_jobs(dataset, cascade, trained, None, [1]) == [
        ModelJob("2d", 1, False),
        ModelJob("3d_fullres", 1, False),
        *(job for job in first if job.fold != 1),
        ModelJob("3d_cascade", 1, False),
    ]
    assert list_jobs(dataset, cascade, trained, "3d_fullres", [1]) == [ModelJob("3d_fullres", 1, False)]


def test_a_stage_that_builds_on_one_that_builds_on_another(dataset, cascade, trained):
    third = cascade.stages["2d"].model_copy(update={"previous": Previous(stage="3d_cascade")})
    chain = cascade.model_copy(update={"stages": {"third": third, **cascade.stages}})
    jobs = list_jobs(dataset, chain, trained, "third", [0])
    assert [(job.stage, job.fold) for job in jobs] == [
        *(("3d_fullres", fold) for fold in range(5)),
        *(("3d_cascade", fold) for fold in range(5)),
        ("third", 0),
    ]


def test_a_case_that_no_fold_validates_has_no_fair_prediction(dataset, cascade, workspace):
    names = tuple(case.name for case in dataset.cases)
    once = replace(dataset, splits=((names[:3], names[3:4]),))
    with pytest.raises(WorkspaceError) as raised:
        list_jobs(once, cascade, workspace, "3d_cascade", [0])
    assert str(raised.value) == (
        "stage 3d_cascade is trained on what 3d_fullres predicts for cases it was not trained on, and case "
        "'kidneys_000' and 2 more is in the validation of no fold. Give splits in which each case is validated once, "
        "or none, so that they are made."
    )
    assert list_jobs(once, cascade, workspace, "3d_fullres", [0]) == [ModelJob("3d_fullres", 0, False)]


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
    folder = run_job(ModelJob("2d", 2, False), dataset, plan, workspace, workers=0, processes=1)
    assert folder == workspace.fold_folder(plan, "2d", 2)
    assert (folder / "validation" / "scores.json").is_file()
    assert list_jobs(dataset, plan, workspace, "2d", [2]) == [ModelJob("2d", 2, True)]
    assert run_job(ModelJob("2d", 2, True), dataset, plan, workspace, workers=0, processes=1) == folder


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
