"""Folds as somebody wants them.

Comes in: a dataset, and what to keep together or alike. Goes out: folds recorded in the workspace, which every later
command keeps to.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from autoseg.dataset import Dataset, Fold
from autoseg.dataset.balanced_folds import balanced_folds, label_volumes
from autoseg.dataset.groups import must_not_leak, read_groups
from autoseg.errors import DatasetError, WorkspaceError
from autoseg.progress import Progress, silent
from autoseg.workflow.facts import must_belong
from autoseg.workflow.workspace import Workspace

logger = logging.getLogger(__name__)


def ask_folds(
    dataset: Dataset,
    workspace: Workspace,
    group_by: str | None = None,
    stratify: bool = False,
    jobs: int | None = None,
    progress: Progress = silent,
) -> None:
    """Makes folds that keep groups of cases together, or that hold alike amounts of every label, and records them.

    Where the dataset brings splits of its own these stay, and groups are only checked for being on both sides of one.
    Nothing is done when nothing is asked, or when there are not two cases to part.

    Args:
        dataset: whose cases are parted.
        workspace: where the folds are recorded.
        group_by: which cases belong together; see `read_groups`. None: each case by itself.
        stratify: spread the targets, and small, middling and large ones among them, evenly; reads the label maps.
        jobs: processes that read; None for as many as there are cores.
        progress: told of every label map read.

    Raises:
        DatasetError: cases cannot be grouped so, a group is on both sides of one of the dataset's own splits, or a
            label map cannot be read.
        WorkspaceError: the workspace belongs to another dataset.
    """
    if (group_by is None and not stratify) or len(dataset.cases) < 2:
        return
    must_belong(dataset, workspace)
    names = [case.name for case in dataset.cases]
    groups = {name: name for name in names} if group_by is None else read_groups(group_by, names)
    if dataset.splits is not None:
        if stratify:
            raise DatasetError(f"{dataset.path}: brings splits of its own. Remove them, or leave out --stratify.")
        must_not_leak([Fold(*halves) for halves in dataset.splits], groups, dataset.path)
        return
    volumes = label_volumes(dataset, jobs, progress) if stratify else None
    folds = balanced_folds(groups, volumes)
    _must_not_move(folds, dataset, workspace)
    workspace.write_folds(folds, {"group_by": group_by, "stratify": stratify})
    sizes = [len(fold.validation) for fold in folds]
    logger.info(
        "%d folds of %d to %d cases in %d groups", len(folds), min(sizes), max(sizes), len(set(groups.values()))
    )


def _must_not_move(folds: Sequence[Fold], dataset: Dataset, workspace: Workspace) -> None:
    """Refuses other folds than those that models were trained in: their validation would hold what they have seen.

    Raises:
        WorkspaceError: there are such models.
    """
    begun = workspace.begun_folders()
    if begun and tuple(folds) != tuple(workspace.folds_of(dataset)):
        raise WorkspaceError(
            f"{begun[0]}: models were trained in other folds than those asked for now. Leave --group-by and "
            "--stratify as they were, or train in another workspace (-w DIR)."
        )
