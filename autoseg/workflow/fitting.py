"""Training one fold of a stage and scoring it; only what is not done.

Comes in: a plan, a stage, a fold, a workspace with prepared cases. Goes out: the folder of the model.
"""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path

from autoseg.alone import alone_in
from autoseg.errors import WorkspaceError
from autoseg.inference.model import Model, describe_machine, is_trained, read_model, write_model
from autoseg.inference.predictor import Predictor
from autoseg.networks.devices import find_device
from autoseg.plan import Plan
from autoseg.progress import Progress, silent
from autoseg.training import Job, default_workers, fit, is_longer, processes, validate_cases
from autoseg.workflow.trained import PICTURE, SCORES, VALIDATION
from autoseg.workflow.workspace import Workspace, find_stage

BUSY = "another process trains this model"
WAIT = "Wait for it, or end it; the same command then goes on from there."


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
        AutosegError: another process trains this model at the moment.
    """
    folder = workspace.fold_folder(plan, find_stage(plan, stage), fold)
    cases, done = workspace.read_fold(fold), is_finished(folder, plan, stage)
    training, validation = (workspace.open_prepared(plan, stage, names) for names in cases)
    asked = None if done else plan.budget.device  # a finished model is found wherever its plan was made for
    where = find_device(device or asked or "cpu")
    loading = default_workers(where) if workers is None else workers
    job = Job(plan, stage, fold, training, validation, folder, where, loading, tensorboard)
    if is_trained(folder):
        _must_match(read_model(folder), job)
    scores = folder / SCORES
    first = processes.rank() == 0
    nothing_to_do = done and (scores.is_file() or not validation)
    with nullcontext() if nothing_to_do or not first else alone_in(folder, BUSY, WAIT):
        if not done:
            _train_model(job, progress)
        if first and validation and not scores.is_file():
            predictor = Predictor.load(folder, device or plan.budget.device)
            validate_cases(predictor, validation, folder / VALIDATION, progress)
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
    shutil.rmtree(job.folder / VALIDATION, ignore_errors=True)
    (job.folder / PICTURE).unlink(missing_ok=True)
    write_model(job.folder, model, trained.weights)


def _must_match(model: Model, job: Job) -> None:
    """A finished model is left alone, unless it is not the one that was asked for."""
    if model.job != job.identity:
        raise WorkspaceError(
            f"{job.folder}: this model was trained by another plan, on other cases, or on files that have changed "
            "since. Remove the folder to train anew, or derive the new plan under another name "
            "(autoseg plan … --name NAME)."
        )
