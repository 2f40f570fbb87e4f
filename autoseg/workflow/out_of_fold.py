"""What a previous stage predicts for the training cases, by models that did not see them.

Comes in: a plan, a stage that builds on another, a workspace. Goes out: the label map of each case, that the fold
which validated it wrote, on the image's own grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from autoseg.dataset import Dataset, Fold, named_like
from autoseg.errors import UntrainedStage, WorkspaceError
from autoseg.evaluation import SCORES_FILE
from autoseg.inference.model import FOLD
from autoseg.phrases import numbered, quoted
from autoseg.plan import Plan
from autoseg.preprocessing.previous_maps import Refining
from autoseg.workflow.trained import VALIDATION
from autoseg.workflow.workspace import Workspace


def stages_before(plan: Plan, stage: str) -> list[str]:
    """The stages that one builds on, the first one first."""
    previous = plan.stages[stage].previous
    return [] if previous is None else [*stages_before(plan, previous.stage), previous.stage]


def out_of_fold(dataset: Dataset, plan: Plan, stage: str, workspace: Workspace) -> Refining | None:
    """What the previous stage predicted for the cases that folds train on or validate; None where there is none.

    Args:
        dataset: whose cases are predicted.
        plan: the plan.
        stage: name of the stage that builds on another.
        workspace: has the models of that one.

    Raises:
        UntrainedStage: some fold of it is not trained and validated.
        WorkspaceError: some case is in no fold's validation.
    """
    previous = plan.stages[stage].previous
    if previous is None:
        return None
    folds = workspace.folds_of(dataset)
    must_be_validated(folds, stage, previous.stage)
    labels = {case.name: case.label for case in dataset.cases}
    predictions: dict[str, Path] = {}
    for number, fold in enumerate(folds):
        folder = workspace.fold_folder(plan, previous.stage, number) / VALIDATION
        for name in fold.validation:
            label = labels[name]
            file = f"{name}{dataset.file_ending}" if label is None else named_like(name, label)
            predictions.setdefault(name, folder / file)
    absent = {path.parent.parent.name: path for path in predictions.values() if not path.is_file()}
    if absent:
        _refuse(absent, stage, previous.stage)
    return Refining(previous, predictions, workspace.previous_folder(plan, stage))


def must_be_validated(folds: Sequence[Fold], stage: str, previous: str) -> None:
    """Every case that is trained on is predicted by a fold that does not train on it.

    Raises:
        WorkspaceError: there are cases of which none is.
    """
    validated = {name for fold in folds for name in fold.validation}
    unseen = sorted({name for fold in folds for name in fold.training} - validated)
    if unseen:
        raise WorkspaceError(
            f"stage {stage} is trained on what {previous} predicts for cases it was not trained on, and case "
            f"{quoted(unseen, most=1)} is in the validation of no fold. Give splits in which each case is validated "
            "once, or none, so that they are made."
        )


def _refuse(absent: dict[str, Path], stage: str, previous: str) -> NoReturn:
    """Says what to do about predictions that are not there, by the folder of the fold."""
    scored = [fold for fold, path in absent.items() if (path.parent / SCORES_FILE).is_file()]
    if scored:
        folder = absent[scored[0]].parent
        raise WorkspaceError(
            f"{absent[scored[0]]}: no such file, but {stage} is trained on it. Remove {folder} and run "
            "'autoseg train' or 'autoseg run' again: its cases are predicted anew."
        )
    folds = numbered("fold", sorted(fold.removeprefix(FOLD) for fold in absent))
    raise UntrainedStage(
        f"stage {stage} builds on what {previous} predicts, and {folds} of that stage "
        f"{'are' if len(absent) > 1 else 'is'} not trained and validated. Run 'autoseg train DATASET --stage {stage}' "
        "or 'autoseg run DATASET', which train them first."
    )
