"""Which folds are trained, told from the names of files alone: without torch, in no time.

Comes in: a workspace, a plan, a stage. Goes out: numbers of folds.
"""

from __future__ import annotations

from pathlib import Path

from autoseg.plan import Plan
from autoseg.workflow.workspace import Workspace

MODEL = ("weights.safetensors", "model.json")  # as `autoseg.inference.model` calls them
SCORES = "validation/scores.json"


def has_model(folder: Path) -> bool:
    """Whether a fold's folder holds a whole model."""
    return all((folder / file).is_file() for file in MODEL)


def is_scored(folder: Path) -> bool:
    """Whether a fold's folder holds a whole model, and the scores of its validation cases."""
    return has_model(folder) and (folder / SCORES).is_file()


def trained_folds(workspace: Workspace, plan: Plan, stage: str) -> list[int]:
    """The folds of a stage that are trained and scored, ascending."""
    return [fold for fold in workspace.fold_numbers() if is_scored(workspace.fold_folder(plan, stage, fold))]
