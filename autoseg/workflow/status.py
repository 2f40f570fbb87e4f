"""How far a workspace is, told from its files alone: without torch, in no time.

Comes in: a workspace and a plan. Goes out: the state of every model, and how long the rest may take.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any, Literal, NamedTuple

from autoseg.errors import AutosegError, ModelError
from autoseg.inference.model import DESCRIPTION, LOG, is_trained, read_model
from autoseg.phrases import counted
from autoseg.plan import Plan
from autoseg.workflow.trained import SCORES, is_scored, validation_scores
from autoseg.workflow.workspace import Workspace


class JobState(NamedTuple):
    """How far a model is.

    Attributes:
        stage: of the plan.
        fold: its number, or "all".
        state: what was done of it.
        dice: mean Dice on its validation cases; None before they are scored, and without any.
        epoch: how many are done; None unless it is being trained, or the training was interrupted.
        epochs: how many there will be, by the plan or as the time allows; None where nobody knows yet.
        minutes_left: of its training, about; None where nobody knows yet.
        problem: what is wrong with a damaged one, and the remedy.
    """

    stage: str
    fold: int | str
    state: Literal["trained", "begun", "to train", "damaged"]
    dice: float | None = None
    epoch: int | None = None
    epochs: int | None = None
    minutes_left: float | None = None
    problem: str | None = None


def list_states(workspace: Workspace, plan: Plan, folds: Sequence[int | str] | None = None) -> list[JobState]:
    """The state of every model of a plan, stage by stage.

    Args:
        workspace: has the models.
        plan: has the stages.
        folds: to look at; None for those recorded, and "all" where there is something of it.
    """
    states = []
    for stage in plan.stages:
        every: list[int | str] = list(workspace.fold_numbers() if folds is None else folds)
        if folds is None and workspace.fold_folder(plan, stage, "all").is_dir():
            every.append("all")
        usual = expected_minutes(workspace, plan, stage)
        states += [_state(workspace.fold_folder(plan, stage, fold), plan, stage, fold, usual) for fold in every]
    return states


def expected_minutes(workspace: Workspace, plan: Plan, stage: str) -> float | None:
    """How long a model of a stage trains: as planned, or as long as others of it took; None where nobody knows.

    Others that are not finished tell by the share that is done; damaged ones tell nothing.
    """
    if plan.stages[stage].training.minutes is not None:
        return plan.stages[stage].training.minutes
    folders = workspace.fold_folders(plan, stage)
    known = []
    for folder in filter(is_trained, folders):
        with suppress(ModelError):
            minutes = read_model(folder).trained.get("minutes")
            known += [float(minutes)] if isinstance(minutes, int | float) else []
    last_rows = [_last_row(folder) for folder in folders if not is_trained(folder)]
    known += [row["minutes"] / row["share"] for row in last_rows if row.get("share")]
    return median(known) if known else None


class Forecast(NamedTuple):
    """About how long what is not done takes, minutes; 0 for what is done, and for what nobody knows.

    Attributes:
        training: of all models.
        validation: predicting and scoring their validation cases, as long as others of their stage took.
        pairs: predicting the validation cases of all folds once more by every stage, for pairs of stages.
        unknown: what is not counted in these.
    """

    training: float
    validation: float
    pairs: float
    unknown: tuple[str, ...]


def forecast(workspace: Workspace, plan: Plan, undone: Sequence[str], paired: Sequence[str] = ()) -> Forecast:
    """How long a run may take, told from what was measured in the workspace.

    Args:
        workspace: has the models that are done.
        plan: has the stages.
        undone: the stage of every model that is to be trained.
        paired: stages that will be compared in pairs, all folds of each; none where there are no pairs to predict.
    """
    trainings = [expected_minutes(workspace, plan, stage) for stage in undone]
    took = {stage: validation_minutes(workspace, plan, stage) for stage in {*undone, *paired}}
    folds = len(workspace.fold_numbers())
    unknown = ["preprocessing"]
    if lacking := trainings.count(None):
        unknown.append(f"training of {counted(lacking, 'model')}")
    if any(took[stage] is None for stage in undone):
        unknown.append("validation")
    if paired and (not folds or any(took[stage] is None for stage in paired)):
        unknown.append("predictions for pairs of stages")
    return Forecast(
        sum(minutes or 0.0 for minutes in trainings),
        sum(took[stage] or 0.0 for stage in undone),
        sum(folds * (took[stage] or 0.0) for stage in paired),
        tuple(unknown),
    )


def validation_minutes(workspace: Workspace, plan: Plan, stage: str) -> float | None:
    """How long a fold's validation cases of a stage took others of its folds, told from the age of the files."""
    folders = [folder for folder in workspace.fold_folders(plan, stage) if is_scored(folder)]
    seconds = [_changed(folder / SCORES) - _changed(folder / DESCRIPTION) for folder in folders]
    known = [one / 60 for one in seconds if one >= 0]
    return median(known) if known else None


def _changed(path: Path) -> float:
    return path.stat().st_mtime


def _state(folder: Path, plan: Plan, stage: str, fold: int | str, usual: float | None) -> JobState:
    if is_trained(folder):
        try:
            read_model(folder)
            scores = validation_scores(folder)
        except AutosegError as problem:
            return JobState(stage, fold, "damaged", problem=str(problem))
        return JobState(stage, fold, "trained", None if scores is None else scores.mean)
    row = _last_row(folder)
    if not row:
        return JobState(stage, fold, "to train", minutes_left=usual)
    training, share, epoch = plan.stages[stage].training, row["share"], row["epoch"] + 1
    epochs = training.epochs if training.minutes is None else round(epoch / share) if share else None
    left = row["minutes"] * (1 - share) / share if share else usual
    return JobState(stage, fold, "begun", epoch=epoch, epochs=epochs, minutes_left=left)


def _last_row(folder: Path) -> dict[str, Any]:
    """What the log of a training says last; nothing where there is none. A power cut may have damaged its end."""
    log = folder / LOG
    lines = log.read_bytes().splitlines() if log.is_file() else []
    return next(filter(None, map(_row, reversed(lines))), {})


def _row(line: bytes) -> dict[str, Any]:
    """A line of a log; nothing where it is damaged."""
    try:
        row = json.loads(line)
        epoch, minutes, share = row["epoch"], row["minutes"], row["share"]
        whole = isinstance(epoch, int) and 0 <= minutes < math.inf and 0 <= share <= 1
    except (ValueError, RecursionError, TypeError, KeyError):
        return {}
    return dict(row) if whole else {}
