"""Which folds are trained, told from the names of files alone: without torch, in no time.

Comes in: a workspace, a plan, a stage. Goes out: numbers of folds.
"""

from __future__ import annotations

from pathlib import Path

from autoseg.inference.model import is_trained
from autoseg.plan import Plan
from autoseg.workflow.workspace import Workspace

SCORES = "validation/scores.json"


def is_scored(folder: Path) -> bool:
    """Whether a fold's folder holds a whole model, and the scores of its validation cases."""
    return is_trained(folder) and (folder / SCORES).is_file()


def trained_folds(workspace: Workspace, plan: Plan, stage: str) -> list[int]:
    """The folds of a stage that are trained and scored, ascending."""
    return [fold for fold in workspace.fold_numbers() if is_scored(workspace.fold_folder(plan, stage, fold))]
