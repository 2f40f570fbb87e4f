"""Which folds are trained, and how good they are, told from their files alone: without torch, in no time.

Comes in: a workspace, a plan, a stage; or the folder of a fold. Goes out: numbers of folds; scores.
"""

from __future__ import annotations

from pathlib import Path

from autoseg.evaluation import SCORES_FILE, Scores, read_scores
from autoseg.inference.model import is_trained
from autoseg.plan import Plan
from autoseg.workflow.workspace import Workspace

VALIDATION = "validation"  # in a fold's folder, what its model predicts for its validation cases
SCORES = f"{VALIDATION}/{SCORES_FILE}"
PICTURE = f"{VALIDATION}.png"  # of some of these cases


def is_scored(folder: Path) -> bool:
    """Whether a fold's folder holds a whole model, and the scores of its validation cases."""
    return is_trained(folder) and (folder / SCORES).is_file()


def trained_folds(workspace: Workspace, plan: Plan, stage: str) -> list[int]:
    """The folds of a stage that are trained and scored, ascending."""
    return [fold for fold in workspace.fold_numbers() if is_scored(workspace.fold_folder(plan, stage, fold))]


def validation_scores(folder: Path) -> Scores | None:
    """The scores of a fold's model on its validation cases; None before they are scored, and without any."""
    path = folder / SCORES
    return read_scores(path) if path.is_file() else None
