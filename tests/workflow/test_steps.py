"""Each step does what is not done, and refuses what contradicts the workspace."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset import (
    Dataset,
    Description,
    Region,
    generate_kidneys,
    make_folds,
    read_label_map,
    write_label_map,
)
from autoseg.errors import AutosegError, TrainingError, UntrainedStage, WorkspaceError
from autoseg.inference.model import is_trained, read_model
from autoseg.plan import with_settings
from autoseg.workflow import facts, fitting
from autoseg.workflow.facts import fingerprint_in_workspace, has_fingerprint
from autoseg.workflow.fitting import train
from autoseg.workflow.preparation import preprocess
from autoseg.workflow.trained import validation_scores

STAGE = "3d_fullres"


def contents(folder: Path) -> dict[str, int]:
    """Every file below a folder, with the time of its last change."""
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*")) if path.is_file()}


def must_not_run(*arguments, **options):
    raise AssertionError("this was done already")


def with_regions(description: Description, *order: str) -> Description:
    """The same with regions, in this order."""
    regions = {"kidneys": Region(values=(1, 2), paint=1), "tumour": Region(values=(2,), paint=2)}
    labels = description.labels.model_copy(update={"regions": {name: regions[name] for name in order}})
    return description.model_copy(update={"labels": labels})


def without(dataset: Dataset, case: str) -> Dataset:
    """The dataset after a case was removed from the disk."""
    for path in dataset.path.rglob(f"{case}*"):
        path.unlink()
    return Dataset.open(dataset.path)


# Fingerprint


def test_a_fingerprint_is_extracted_once(dataset, workspace, fingerprint, monkeypatch):
    assert fingerprint_in_workspace(dataset, workspace, processes=1) == fingerprint
    monkeypatch.setattr(facts, "extract_fingerprint", must_not_run)
    before = contents(workspace.path)
    assert fingerprint_in_workspace(dataset, workspace, processes=1) == fingerprint
    assert contents(workspace.path) == before


def test_a_fingerprint_follows_its_dataset(own_dataset, workspace):
    fingerprint_in_workspace(own_dataset, workspace, processes=1)
    fewer = without(own_dataset, "kidneys_003")
    assert len(fingerprint_in_workspace(fewer, workspace, processes=1).cases) == 4
    description = json.loads((own_dataset.path / "dataset.json").read_text())
    description["labels"]["cyst"] = 3
    (own_dataset.path / "dataset.json").write_text(json.dumps(description))
    relabelled = Dataset.open(own_dataset.path)
    assert "cyst" in fingerprint_in_workspace(relabelled, workspace, processes=1).labels


def test_a_fingerprint_of_regions_in_another_order_is_outdated(dataset, workspace):
    first = replace(dataset, description=with_regions(dataset.description, "kidneys", "tumour"))
    turned = replace(dataset, description=with_regions(dataset.description, "tumour", "kidneys"))
    for opened in (first, turned):
        found = fingerprint_in_workspace(opened, workspace, processes=1)
        assert has_fingerprint(opened, workspace)
        assert list(found.dataset.labels.regions) == list(opened.description.labels.regions)
    assert not has_fingerprint(first, workspace)


def test_a_fingerprint_without_intensities_is_made_anew_for_a_dataset_with_images(dataset, workspace, fingerprint):
    fingerprint_in_workspace(dataset, workspace, processes=1)
    emptied = json.loads(workspace.fingerprint_file.read_text()) | {"intensities": [], "image_intensities": []}
    workspace.fingerprint_file.write_text(json.dumps(emptied))
    assert fingerprint_in_workspace(dataset, workspace, processes=1) == fingerprint


@pytest.fixture
def stranger(tmp_path) -> Dataset:
    """A dataset that has no case in common with the others."""
    folder = tmp_path / "stranger"
    generate_kidneys(folder, cases=2, seed=9, shape=(10, 32, 32), spacing_mm=(12.0, 5.0, 5.0))
    for path in [*folder.rglob("kidneys_*")]:
        path.rename(path.with_name(path.name.replace("kidneys", "strange")))
    return Dataset.open(folder)


def test_a_workspace_belongs_to_one_dataset(dataset, stranger, workspace, plan):
    fingerprint_in_workspace(dataset, workspace, processes=1)
    preprocess(dataset, plan, STAGE, workspace, processes=1)
    before = contents(workspace.path)
    for step in (
        lambda: fingerprint_in_workspace(stranger, workspace, processes=1),
        lambda: preprocess(stranger, plan, STAGE, workspace, processes=1),
    ):
        with pytest.raises(WorkspaceError) as raised:
            step()
        assert str(raised.value) == (
            f"{workspace.path}: this workspace belongs to dataset 'Kidneys', which has no case in common with "
            f"{stranger.path}. Give another workspace (-w DIR)."
        )
    assert contents(workspace.path) == before


# Preprocessing


def test_preprocessing_is_done_once(dataset, workspace, plan):
    prepared = preprocess(dataset, plan, STAGE, workspace, processes=1)
    assert [case.name for case in prepared] == [case.name for case in dataset.cases]
    assert {case.folder for case in prepared} == {workspace.prepared_folder(plan, STAGE)}
    assert [workspace.read_fold(number) for number in range(5)] == list(make_folds(dataset))
    arrays = contents(workspace.path / "prepared")
    preprocess(dataset, plan, STAGE, workspace, processes=1)
    assert contents(workspace.path / "prepared") == arrays


def test_preprocessing_continues_where_it_stopped(dataset, workspace, plan):
    preprocess(dataset, plan, STAGE, workspace, processes=1)
    arrays = contents(workspace.path / "prepared")
    lost = workspace.prepared_folder(plan, STAGE) / "kidneys_002.json"
    lost.unlink()
    preprocess(dataset, plan, STAGE, workspace, processes=1)
    after = contents(workspace.path / "prepared")
    assert after.keys() == arrays.keys()
    assert {Path(path).name.split(".")[0] for path in after if after[path] != arrays[path]} == {"kidneys_002"}


def test_a_plan_for_other_labels_is_not_prepared_for(own_dataset, workspace, plan):
    description = json.loads((own_dataset.path / "dataset.json").read_text())
    description["labels"]["cyst"] = 3
    (own_dataset.path / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(WorkspaceError) as raised:
        preprocess(Dataset.open(own_dataset.path), plan, STAGE, workspace, processes=1)
    assert str(raised.value) == (
        f"{own_dataset.path}: has channels CT and labels background 0, kidney 1, tumour 2, cyst 3, but plan 'default' "
        "is for channels CT and labels background 0, kidney 1, tumour 2. Derive a plan for the dataset as it is now "
        "('autoseg plan DATASET')."
    )
    assert not workspace.path.exists()


def test_a_plan_for_regions_in_another_order_is_not_prepared_for(dataset, workspace, plan):
    """The order decides what paints over what, and which output is which."""
    planned = plan.model_copy(update={"dataset": with_regions(plan.dataset, "kidneys", "tumour")})
    turned = replace(dataset, description=with_regions(dataset.description, "tumour", "kidneys"))
    told = "tumour 2, regions tumour 2, kidneys 1.2, but plan 'default' is .* tumour 2, regions kidneys 1.2, tumour 2. "
    with pytest.raises(WorkspaceError, match=told):
        preprocess(turned, planned, STAGE, workspace, processes=1)
    assert not workspace.path.exists()


def test_a_stage_that_is_not_planned(dataset, workspace, plan):
    with pytest.raises(WorkspaceError, match="plan 'default' has no stage '4d'. There is: 2d, 3d_fullres."):
        preprocess(dataset, plan, "4d", workspace, processes=1)
    with pytest.raises(WorkspaceError, match="plan 'default' has no stage '4d'"):
        train(plan, "4d", 0, workspace)
    assert not workspace.path.exists()


# Training


def test_what_a_training_leaves(trained, plan, dataset):
    folder = trained.fold_folder(plan, STAGE, 0)
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    [validated] = make_folds(dataset)[0].validation
    assert found == {
        "weights.safetensors",
        "model.json",
        "log.csv",
        "log.jsonl",
        "progress.png",
        "resume.pt",
        f"validation/{validated}.nii.gz",
        "validation/scores.json",
        "validation/scores.csv",
    }
    model = read_model(folder)
    assert (model.plan, model.stage, model.fold) == (plan, STAGE, 0)
    assert (model.training_cases, model.validation_cases) == make_folds(dataset)[0]
    assert (model.trained["epochs"], model.trained["iterations"]) == (1, 2)
    assert model.machine["device"] == "cpu"
    assert list(validation_scores(folder).dice) == [validated]


def test_a_trained_model_is_left_alone(trained, plan, monkeypatch):
    for name in ("fit", "write_model", "validate_cases"):
        monkeypatch.setattr(fitting, name, must_not_run)
    before = contents(trained.path)
    assert train(plan, STAGE, 0, trained) == trained.fold_folder(plan, STAGE, 0)
    assert contents(trained.path) == before


def test_a_lost_validation_is_done_again_without_training(own_trained, plan, monkeypatch):
    folder = own_trained.fold_folder(plan, STAGE, 0)
    scores = validation_scores(folder)
    weights = (folder / "weights.safetensors").stat().st_mtime_ns
    for path in (folder / "validation").iterdir():
        path.unlink()
    monkeypatch.setattr(fitting, "fit", must_not_run)
    train(plan, STAGE, 0, own_trained)
    assert validation_scores(folder) == scores
    assert (folder / "weights.safetensors").stat().st_mtime_ns == weights


def test_a_training_killed_before_its_weights_were_written_is_finished(own_trained, plan):
    folder = own_trained.fold_folder(plan, STAGE, 0)
    weights = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").unlink()
    assert not is_trained(folder)
    train(plan, STAGE, 0, own_trained, workers=0)
    assert (folder / "weights.safetensors").read_bytes() == weights


def test_a_model_is_trained_by_one_process_at_a_time(own_trained, plan, monkeypatch):
    @contextmanager
    def busy(folder, problem, remedy):
        raise AutosegError(f"{folder}: {problem}. {remedy}")
        yield

    monkeypatch.setattr(fitting, "alone_in", busy)
    folder = own_trained.fold_folder(plan, STAGE, 0)
    assert train(plan, STAGE, 0, own_trained, workers=0) == folder  # it is done: nothing is written
    (folder / "weights.safetensors").unlink()
    before = contents(own_trained.path)
    with pytest.raises(AutosegError) as refused:
        train(plan, STAGE, 0, own_trained, workers=0)
    assert str(refused.value) == (
        f"{folder}: another process trains this model. Wait for it, or end it; the same command then goes on from "
        "there."
    )
    assert contents(own_trained.path) == before


def test_training_on_all_cases_validates_on_none(own_trained, plan, dataset):
    folder = train(plan, STAGE, "all", own_trained, workers=0)
    assert folder.name == "fold_all"
    model = read_model(folder)
    assert model.fold == "all"
    assert (model.training_cases, model.validation_cases) == (tuple(case.name for case in dataset.cases), ())
    assert validation_scores(folder) is None
    assert not (folder / "validation").exists()


def test_a_model_by_another_plan_is_not_taken_for_this_one(trained, plan):
    other = with_settings(plan, ["stages.3d_fullres.optimizer.learning_rate=0.1"])
    with pytest.raises(WorkspaceError) as raised:
        train(other, STAGE, 0, trained)
    assert str(raised.value) == (
        f"{trained.fold_folder(plan, STAGE, 0)}: this model was trained by another plan, on other cases, or on "
        "files that have changed since. Remove the folder to train anew, or derive the new plan under another name "
        "(autoseg plan … --name NAME)."
    )


def test_a_model_of_other_cases_is_not_taken_for_this_one(own_dataset, own_trained, plan):
    fewer = without(own_dataset, "kidneys_004")
    preprocess(fewer, plan, STAGE, own_trained, processes=1)
    with pytest.raises(WorkspaceError, match="fold_0: this model was trained by another plan, on other cases, or on"):
        train(plan, STAGE, 0, own_trained)


def test_a_model_of_files_that_have_changed_is_not_taken_for_theirs(own_dataset, own_trained, plan):
    trains = own_trained.read_fold(0).training[0]
    label = next(case.label for case in own_dataset.cases if case.name == trains)
    os.utime(label, ns=(0, 0))
    preprocess(own_dataset, plan, STAGE, own_trained, processes=1)
    train(plan, STAGE, 0, own_trained)  # only touched: the same content
    label_map, grid = read_label_map(label)
    write_label_map(label, np.zeros_like(label_map), grid)
    preprocess(own_dataset, plan, STAGE, own_trained, processes=1)
    with pytest.raises(WorkspaceError, match="or on files that have changed since"):
        train(plan, STAGE, 0, own_trained)


def test_an_unfinished_training_on_other_cases_is_not_continued(own_dataset, own_trained, plan):
    (own_trained.fold_folder(plan, STAGE, 0) / "weights.safetensors").unlink()
    fewer = without(own_dataset, "kidneys_004")
    preprocess(fewer, plan, STAGE, own_trained, processes=1)
    with pytest.raises(TrainingError, match="holds a training by another plan, on other cases, on files"):
        train(plan, STAGE, 0, own_trained, workers=0)


@pytest.mark.parametrize(("fold", "text"), [(5, "no fold 5: this dataset has folds 0 to 4, and 'all'."), ("x", "no f")])
def test_a_fold_that_is_not_there(trained, plan, fold, text):
    before = contents(trained.path)
    with pytest.raises(WorkspaceError) as raised:
        train(plan, STAGE, fold, trained)
    assert str(raised.value).startswith(text)
    assert contents(trained.path) == before


def test_a_device_that_is_not_there(trained, plan):
    with pytest.raises(AutosegError, match="device 'tpu' is not to be had on this machine"):
        train(plan, STAGE, 1, trained, device="tpu")
    assert not trained.fold_folder(plan, STAGE, 1).exists()


def test_cases_that_are_not_prepared(workspace, trained, plan):
    with pytest.raises(WorkspaceError, match="nothing is preprocessed here"):
        train(plan, STAGE, 0, workspace)
    with pytest.raises(WorkspaceError, match=r"not prepared in .*: 'kidneys_000', .*'. Run"):
        train(plan, "2d", 1, trained, workers=0)


def test_a_stage_that_builds_on_another_needs_all_its_folds(dataset, cascade, own_trained):
    before = contents(own_trained.path)
    with pytest.raises(UntrainedStage) as raised:
        preprocess(dataset, cascade, "3d_cascade", own_trained, processes=1)
    assert str(raised.value) == (
        "stage 3d_cascade builds on what 3d_fullres predicts, and folds 1, 2, 3, 4 of that stage are not trained and "
        "validated. Run 'autoseg train DATASET --stage 3d_cascade' or 'autoseg run DATASET', which train them first."
    )
    assert contents(own_trained.path).keys() == before.keys()
    with pytest.raises(WorkspaceError, match=r"not prepared in .*: ('kidneys_\d+'(, )?){4}\. Run"):
        train(cascade, "3d_cascade", 0, own_trained, workers=0)


def test_a_lost_prediction_is_named(dataset, cascade, own_trained):
    lost = next((own_trained.fold_folder(cascade, STAGE, 0) / "validation").glob("kidneys_*"))
    lost.unlink()
    with pytest.raises(WorkspaceError) as raised:
        preprocess(dataset, cascade, "3d_cascade", own_trained, processes=1)
    assert str(raised.value) == (
        f"{lost}: no such file, but 3d_cascade is trained on it. Remove {lost.parent} and run 'autoseg train' or "
        "'autoseg run' again: its cases are predicted anew."
    )
