"""The steps from a dataset to a scored model, each of which does only what is not done.

Comes in: a dataset or a plan, and a workspace. Goes out: files in the workspace, and what they hold.
"""

from __future__ import annotations

from pathlib import Path

from autoseg.dataset import Dataset, Fold, make_folds
from autoseg.errors import WorkspaceError
from autoseg.evaluation import Scores, read_scores
from autoseg.fingerprint import Fingerprint, extract_fingerprint, read_fingerprint, write_fingerprint
from autoseg.inference import Model, Predictor, describe_machine, is_trained, read_model, write_model
from autoseg.networks.devices import find_device
from autoseg.plan import Plan
from autoseg.preprocessing import PreparedCase, open_prepared, prepare_dataset
from autoseg.progress import Progress, silent
from autoseg.training import Job, fit, validate_cases
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


def has_fingerprint(dataset: Dataset, workspace: Workspace) -> bool:
    """Whether the workspace has a fingerprint of this dataset's cases and labels.

    Raises:
        WorkspaceError: the workspace belongs to another dataset.
    """
    if not workspace.fingerprint_file.is_file():
        return False
    found = read_fingerprint(workspace.fingerprint_file)
    names = {case.name for case in dataset.cases}
    if not names & {case.name for case in found.cases}:
        raise WorkspaceError(
            f"{workspace.path}: this workspace belongs to dataset '{found.dataset.name}', which has no case in common "
            f"with {dataset.path}. Give another workspace (-w DIR)."
        )
    return found.dataset == dataset.description and names == {case.name for case in found.cases}


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
    workers: int = 1,
    progress: Progress = silent,
) -> Path:
    """Trains one fold of a stage and scores it on its validation cases; goes on where it was stopped.

    Args:
        plan: the plan.
        stage: name of the stage.
        fold: number of the fold, or "all" to train on every case.
        workspace: holds the prepared cases; the model goes there too.
        device: None for the one the plan was made for.
        workers: processes that load patches; 0 loads in this one.
        progress: told of every share of the training, and of every validated case.

    Returns:
        The folder of the model, as `Predictor.load` takes it.

    Raises:
        WorkspaceError: no such stage or fold, cases that are not prepared, or a model of other cases.
        TrainingError: the training cannot go on.
    """
    folder = workspace.fold_folder(plan, find_stage(plan, stage), fold)
    cases = workspace.read_fold(fold)
    prepared = workspace.prepared_folder(plan, stage)
    if is_trained(folder):
        _must_match(read_model(folder), plan, cases, folder)
    else:
        chosen = find_device(device or plan.budget.device)
        training, validation = (open_prepared(prepared, names) for names in cases)
        job = Job(plan, stage, fold, training, validation, folder, chosen, workers)
        trained = fit(job, progress)
        numbers = {"epochs": trained.epochs, "iterations": trained.iterations, "minutes": trained.minutes}
        model = Model(
            plan=plan,
            stage=stage,
            fold="all" if fold == "all" else int(fold),
            training_cases=cases.training,
            validation_cases=cases.validation,
            trained=numbers,
            machine=describe_machine(chosen),
        )
        write_model(folder, model, trained.weights)
    if cases.validation and not (folder / "validation" / "scores.json").is_file():
        predictor = Predictor.load(folder, device or plan.budget.device)
        validate_cases(predictor, open_prepared(prepared, cases.validation), folder / "validation", progress)
    return folder


def validation_scores(folder: Path) -> Scores | None:
    """The scores of a model on its validation cases; None for a model trained on all cases."""
    path = folder / "validation" / "scores.json"
    return read_scores(path) if path.is_file() else None


def _must_fit(dataset: Dataset, plan: Plan, workspace: Workspace) -> None:
    """Arrays of one dataset are not mixed with a plan for another, nor with another's workspace."""
    has_fingerprint(dataset, workspace)
    ours, planned = dataset.description, plan.dataset
    if (ours.channels, ours.labels) != (planned.channels, planned.labels):
        raise WorkspaceError(
            f"{dataset.path}: has channels {', '.join(ours.channels)} and labels {ours.labels.described()}, but plan "
            f"'{plan.name}' is for {', '.join(planned.channels)} and {planned.labels.described()}. "
            "Derive a plan for the dataset as it is now ('autoseg plan DATASET')."
        )


def _must_match(model: Model, plan: Plan, cases: Fold, folder: Path) -> None:
    """A finished model is left alone, unless it is not the one that was asked for."""
    if model.plan.stages[model.stage] != plan.stages[model.stage]:
        what = "by another plan"
    elif set(model.training_cases) != set(cases.training):
        what = "on other cases"
    else:
        return
    raise WorkspaceError(
        f"{folder}: this model was trained {what}. Remove the folder to train anew, "
        "or give the new plan another name (--name NAME)."
    )
