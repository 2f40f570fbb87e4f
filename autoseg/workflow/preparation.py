"""Preparing the cases of a dataset for a stage of a plan.

Comes in: a dataset, a plan that fits it, a workspace. Goes out: prepared cases, and the folds, in the workspace.
"""

from __future__ import annotations

from dataclasses import replace

from autoseg.dataset import Dataset
from autoseg.errors import WorkspaceError
from autoseg.plan import Plan
from autoseg.planner.normalisation import planned_without_images
from autoseg.preprocessing import PreparedCase, prepare_dataset
from autoseg.progress import Progress, silent
from autoseg.workflow.facts import must_belong
from autoseg.workflow.out_of_fold import out_of_fold
from autoseg.workflow.workspace import Workspace, find_stage


def preprocess(
    dataset: Dataset,
    plan: Plan,
    stage: str,
    workspace: Workspace,
    processes: int | None = None,
    progress: Progress = silent,
) -> list[PreparedCase]:
    """Prepares every training case as a stage says, and records the folds.

    Of a stage that builds on another, these are the cases in a fold, with what models of that other stage predicted for
    them that had not seen them.

    Args:
        dataset: whose cases are prepared.
        plan: the plan.
        stage: name of the stage.
        workspace: where the arrays go.
        processes: how many; None for as many as there are cores.
        progress: told of every finished case.

    Raises:
        WorkspaceError: no such stage, the plan is for other channels or labels, the workspace is another
            dataset's, or folds were asked for when the dataset had other cases.
        UntrainedStage: the stage builds on one that is not trained in all folds.
        DatasetError: a case cannot be prepared.
    """
    _must_fit(dataset, plan, workspace)
    chosen = plan.stages[find_stage(plan, stage)]
    workspace.record_folds(dataset)
    refining = out_of_fold(dataset, plan, stage, workspace)
    if refining is not None:
        dataset = replace(dataset, cases=tuple(case for case in dataset.cases if case.name in refining.predictions))
    folder = workspace.prepared_folder(plan, stage)
    patch_size = chosen.sampling.patch_size
    return prepare_dataset(dataset, chosen.preprocessing, patch_size, folder, processes, progress, refining)


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
    if not ours.is_like(planned):
        raise WorkspaceError(
            f"{dataset.path}: has {ours.described()}, but plan '{plan.name}' is for {planned.described()}. "
            "Derive a plan for the dataset as it is now ('autoseg plan DATASET')."
        )
