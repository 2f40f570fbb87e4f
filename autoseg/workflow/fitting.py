"""Training one fold of a stage and scoring it; only what is not done.

Comes in: a plan, a stage, a fold, a workspace with prepared cases. Goes out: the folder of the model.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from autoseg.errors import WorkspaceError
from autoseg.evaluation import Scores, read_scores
from autoseg.inference.model import Model, describe_machine, is_trained, read_model, write_model
from autoseg.inference.predictor import Predictor
from autoseg.networks.devices import find_device
from autoseg.plan import Plan
from autoseg.progress import Progress, silent
from autoseg.training import Job, default_workers, fit, is_longer, processes, validate_cases
from autoseg.workflow.workspace import Workspace, find_stage


def train(
    plan: Plan,
    stage: str,
    fold: int | str,
    workspace: Workspace,
    device: str | None = None,
    workers: int | None = None,
    progress: Progress = silent,
    tensorboard: bool = False,
) -> Path:
    """Trains one fold of a stage and scores it on its validation cases; goes on where it was stopped.

    A finished model goes on, too, where the plan is now for a longer training (more epochs, or more minutes): the
    schedule is that of the longer training from there on, so the learning rate rises again first.

    Args:
        plan: the plan.
        stage: name of the stage.
        fold: number of the fold, or "all" to train on every case.
        workspace: holds the prepared cases; the model goes there too.
        device: "cpu", "cuda:1", …; None for the kind the plan was made for.
        workers: processes that load patches; 0 loads in this one, None takes what suits the device.
        progress: told of every share of the training, and of every validated case.
        tensorboard: write the log as TensorBoard reads it, too.

    Returns:
        The folder of the model, as `Predictor.load` takes it.

    Raises:
        WorkspaceError: no such stage or fold, cases that are not prepared, or a model of other cases.
        TrainingError: the training cannot go on.
    """
    folder = workspace.fold_folder(plan, find_stage(plan, stage), fold)
    cases, done = workspace.read_fold(fold), is_finished(folder, plan, stage)
    training, validation = (workspace.open_prepared(plan, stage, names) for names in cases)
    where = torch.device("cpu") if done else find_device(device or plan.budget.device)
    loading = default_workers(where) if workers is None else workers
    job = Job(plan, stage, fold, training, validation, folder, where, loading, tensorboard)
    if is_trained(folder):
        _must_match(read_model(folder), job)
    if not done:
        _train_model(job, progress)
    if processes.rank() == 0 and validation and not (folder / "validation" / "scores.json").is_file():
        predictor = Predictor.load(folder, device or plan.budget.device)
        validate_cases(predictor, validation, folder / "validation", progress)
    processes.wait()
    return folder


def is_finished(folder: Path, plan: Plan, stage: str) -> bool:
    """Whether a folder has a model, and the plan does not ask for a longer training than its."""
    if not is_trained(folder):
        return False
    trained = read_model(folder)
    return not is_longer(plan.stages[stage].training, trained.plan.stages[trained.stage].training)


def _train_model(job: Job, progress: Progress) -> None:
    """Fits the weights and writes the model; an earlier model's predictions go first."""
    trained = fit(job, progress)
    if processes.rank() != 0:
        return
    model = Model(
        plan=job.plan,
        stage=job.stage_name,
        fold="all" if job.fold == "all" else int(job.fold),
        training_cases=tuple(case.name for case in job.training),
        validation_cases=tuple(case.name for case in job.validation),
        trained={
            "epochs": trained.epochs,
            "iterations": trained.iterations,
            "minutes": trained.minutes,
            "stopped": trained.stopped,
            "weights": trained.kept,
        },
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


def _must_match(model: Model, job: Job) -> None:
    """A finished model is left alone, unless it is not the one that was asked for."""
    if model.job != job.identity:
        raise WorkspaceError(
            f"{job.folder}: this model was trained by another plan, on other cases, or on files that have changed "
            "since. Remove the folder to train anew, or derive the new plan under another name "
            "(autoseg plan … --name NAME)."
        )
