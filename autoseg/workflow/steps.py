"""The steps from a dataset to a scored model, each of which does only what is not done.

Comes in: a dataset or a plan, and a workspace. Goes out: files in the workspace, and what they hold.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from autoseg.dataset import Dataset, files_hash, make_folds
from autoseg.errors import TrainingError, WorkspaceError
from autoseg.evaluation import Scores, read_scores
from autoseg.fingerprint import (
    Fingerprint,
    extract_fingerprint,
    is_nnunet_fingerprint_folder,
    read_fingerprint,
    read_nnunet_fingerprint,
    write_fingerprint,
)
from autoseg.inference import Model, Predictor, describe_machine, is_trained, read_model, write_model
from autoseg.networks.devices import find_device
from autoseg.plan import Plan
from autoseg.planner.normalisation import planned_without_images
from autoseg.preprocessing import PreparedCase, open_prepared, prepare_dataset
from autoseg.progress import Progress, silent
from autoseg.training import Job, default_workers, fit, validate_cases
from autoseg.workflow.workspace import Workspace, find_stage


def fingerprint_in_workspace(
    dataset: Dataset, workspace: Workspace, jobs: int | None = None, progress: Progress = silent
) -> Fingerprint:
    """The dataset's fingerprint, extracted unless the workspace has one of the same cases and labels."""
    if has_fingerprint(dataset, workspace):
        return read_fingerprint(workspace.fingerprint_file)
    fingerprint = extract_fingerprint(dataset, jobs, progress)
    write_fingerprint(workspace.fingerprint_file, fingerprint)
    return fingerprint


def facts_of(folder: Path, workspace: Workspace, jobs: int | None = None, progress: Progress = silent) -> Fingerprint:
    """The facts about a folder: of a dataset, as `fingerprint_in_workspace`; or those nnU-Net measured.

    nnU-Net's are for planning only. They are not kept in the workspace, for they lack the cases' names.

    Args:
        folder: of a dataset, or of nnU-Net's dataset.json and dataset_fingerprint.json and nothing else.
        workspace: where the fingerprint of a dataset is kept.
        jobs: processes; None for as many as there are cores.
        progress: told of every case.

    Raises:
        DatasetError: the folder is neither, or a file in it is at fault.
        WorkspaceError: the workspace belongs to another dataset.
    """
    if is_nnunet_fingerprint_folder(folder):
        return read_nnunet_fingerprint(folder)
    return fingerprint_in_workspace(Dataset.open(folder), workspace, jobs, progress)


def has_fingerprint(dataset: Dataset, workspace: Workspace) -> bool:
    """Whether the workspace has a fingerprint of this dataset, of its files as they are now.

    Raises:
        WorkspaceError: the workspace belongs to another dataset.
    """
    if not workspace.fingerprint_file.is_file():
        return False
    must_belong(dataset, workspace)
    found = read_fingerprint(workspace.fingerprint_file)
    return found.dataset == dataset.description and found.files == files_hash(dataset.cases)


def must_belong(dataset: Dataset, workspace: Workspace) -> None:
    """Refuses a workspace whose fingerprint has no case in common with the dataset.

    Raises:
        WorkspaceError: it is another dataset's.
    """
    if not workspace.fingerprint_file.is_file():
        return
    found = read_fingerprint(workspace.fingerprint_file)
    if not {case.name for case in dataset.cases} & {case.name for case in found.cases}:
        raise WorkspaceError(
            f"{workspace.path}: this workspace belongs to dataset '{found.dataset.name}', which has no case in common "
            f"with {dataset.path}. Give another workspace (-w DIR)."
        )


def preprocess(
    dataset: Dataset,
    plan: Plan,
    stage: str,
    workspace: Workspace,
    jobs: int | None = None,
    progress: Progress = silent,
) -> list[PreparedCase]:
    """Prepares every training case as a stage says, and records the folds.

    Args:
        dataset: whose cases are prepared.
        plan: the plan.
        stage: name of the stage.
        workspace: where the arrays go.
        jobs: processes; None for as many as there are cores.
        progress: told of every finished case.

    Raises:
        WorkspaceError: no such stage, the plan is for other channels or labels, or the workspace is another
            dataset's.
        DatasetError: a case cannot be prepared.
    """
    _must_fit(dataset, plan, workspace)
    chosen = plan.stages[find_stage(plan, stage)]
    workspace.write_folds(make_folds(dataset))
    folder = workspace.prepared_folder(plan, stage)
    return prepare_dataset(dataset, chosen.preprocessing, chosen.sampling.patch_size, folder, jobs, progress)


def train(
    plan: Plan,
    stage: str,
    fold: int | str,
    workspace: Workspace,
    device: str | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> Path:
    """Trains one fold of a stage and scores it on its validation cases; goes on where it was stopped.

    Args:
        plan: the plan.
        stage: name of the stage.
        fold: number of the fold, or "all" to train on every case.
        workspace: holds the prepared cases; the model goes there too.
        device: "cpu", "cuda:1", …; None for the kind the plan was made for.
        workers: processes that load patches; 0 loads in this one, None takes what suits the device.
        progress: told of every share of the training, and of every validated case.

    Returns:
        The folder of the model, as `Predictor.load` takes it.

    Raises:
        WorkspaceError: no such stage or fold, cases that are not prepared, or a model of other cases.
        TrainingError: the stage cannot be trained yet, or the training cannot go on.
    """
    must_be_trainable(plan, find_stage(plan, stage))
    folder = workspace.fold_folder(plan, find_stage(plan, stage), fold)
    cases, done = workspace.read_fold(fold), is_trained(folder)
    training, validation = (open_prepared(workspace.prepared_folder(plan, stage), names) for names in cases)
    where = torch.device("cpu") if done else find_device(device or plan.budget.device)
    loading = default_workers(where) if workers is None else workers
    job = Job(plan, stage, fold, training, validation, folder, where, loading)
    if done:
        _must_match(read_model(folder), job)
    else:
        _train_model(job, progress)
    if validation and not (folder / "validation" / "scores.json").is_file():
        predictor = Predictor.load(folder, device or plan.budget.device)
        validate_cases(predictor, validation, folder / "validation", progress)
    return folder


def must_be_trainable(plan: Plan, stage: str) -> None:
    """Refuses a stage that refines what another one predicts.

    Raises:
        TrainingError: it does.
    """
    previous = plan.stages[stage].previous
    if previous is not None:
        others = [name for name, other in plan.stages.items() if other.previous is None]
        raise TrainingError(
            f"stage '{stage}' of plan '{plan.name}' refines the prediction of '{previous.stage}'; such stages can be "
            f"planned, but not trained yet. Train one of the others: {', '.join(others)}."
        )


def _train_model(job: Job, progress: Progress) -> None:
    """Fits the weights and writes the model; an earlier model's predictions go first."""
    trained = fit(job, progress)
    model = Model(
        plan=job.plan,
        stage=job.stage_name,
        fold="all" if job.fold == "all" else int(job.fold),
        training_cases=tuple(case.name for case in job.training),
        validation_cases=tuple(case.name for case in job.validation),
        trained={"epochs": trained.epochs, "iterations": trained.iterations, "minutes": trained.minutes},
        machine=describe_machine(job.device),
        job=job.identity,
    )
    shutil.rmtree(job.folder / "validation", ignore_errors=True)
    (job.folder / "validation.png").unlink(missing_ok=True)
    write_model(job.folder, model, trained.weights)


def validation_scores(folder: Path) -> Scores | None:
    """The scores of a model on its validation cases; None for a model trained on all cases."""
    path = folder / "validation" / "scores.json"
    return read_scores(path) if path.is_file() else None


def _must_fit(dataset: Dataset, plan: Plan, workspace: Workspace) -> None:
    """Arrays of one dataset are not mixed with a plan for another, nor with another's workspace."""
    must_belong(dataset, workspace)
    dataset.require_images()
    if planned_without_images(plan):
        raise WorkspaceError(
            f"{dataset.path}: plan '{plan.name}' was made from label maps alone, so it knows nothing of intensities. "
            f"Derive it again, now that there are images ('autoseg plan DATASET --name {plan.name}')."
        )
    ours, planned = dataset.description, plan.dataset
    if (ours.channels, ours.labels) != (planned.channels, planned.labels):
        raise WorkspaceError(
            f"{dataset.path}: has channels {', '.join(ours.channels)} and labels {ours.labels.described()}, but plan "
            f"'{plan.name}' is for {', '.join(planned.channels)} and {planned.labels.described()}. "
            "Derive a plan for the dataset as it is now ('autoseg plan DATASET')."
        )


def _must_match(model: Model, job: Job) -> None:
    """A finished model is left alone, unless it is not the one that was asked for."""
    if model.job != job.identity:
        raise WorkspaceError(
            f"{job.folder}: this model was trained by another plan, on other cases, or on files that have changed "
            "since. Remove the folder to train anew, or derive the new plan under another name "
            "(autoseg plan … --name NAME)."
        )
