"""Folds as somebody wants them.

Comes in: a dataset, and what to keep together or alike. Goes out: folds, recorded in the workspace, which every later
command keeps to; or the dataset with them, and nothing recorded.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from autoseg.dataset import Dataset, Fold
from autoseg.dataset.balanced_folds import balanced_folds, balanced_parts, label_volumes
from autoseg.dataset.groups import must_not_leak, read_groups
from autoseg.dataset.splits import find_splits
from autoseg.errors import DatasetError, WorkspaceError
from autoseg.phrases import counted
from autoseg.progress import Progress, silent
from autoseg.workflow.facts import must_belong
from autoseg.workflow.workspace import Workspace

logger = logging.getLogger(__name__)


class Made(NamedTuple):
    """Folds, and what is recorded beside them: what was asked for, and the cases that are in none."""

    folds: tuple[Fold, ...]
    asked: dict[str, Any]


def record_asked_folds(
    dataset: Dataset,
    workspace: Workspace,
    group_by: str | None = None,
    stratify: bool = False,
    split: str | None = None,
    processes: int | None = None,
    progress: Progress = silent,
    record: bool = True,
) -> Dataset:
    """Makes folds that keep groups of cases together, or that hold alike amounts of every label, and records them.

    Where the dataset brings splits of its own these stay, and groups are only checked for being on both sides of one.
    Nothing is made when nothing is asked, or when there are not two cases to part.

    Args:
        dataset: whose cases are parted.
        workspace: where folds are, or will be, recorded.
        group_by: which cases belong together; see `read_groups`. None: each case by itself.
        stratify: spread the targets, and small, middling and large ones among them, evenly; reads the label maps.
        split: TRAIN/VALIDATION or TRAIN/VALIDATION/TEST, cases or shares of them ("190/20", "80/10/10"), for one fold
            in place of five. Test cases are in none of its halves.
        processes: that read; None for as many as there are cores.
        progress: told of every label map read.
        record: False leaves the workspace as it is.

    Returns:
        The dataset; if nothing was recorded, as if it brought these folds itself.

    Raises:
        DatasetError: cases cannot be parted so, a group is on both sides of one of the dataset's own splits, or a
            label map cannot be read.
        WorkspaceError: the workspace belongs to another dataset, or holds models that were trained in other folds.
    """
    if (group_by is None and not stratify and split is None) or len(dataset.cases) < 2:
        return dataset
    must_belong(dataset, workspace)
    names = [case.name for case in dataset.cases]
    groups = {name: name for name in names} if group_by is None else read_groups(group_by, names)
    if dataset.splits is not None:
        for option in ["--stratify"] * stratify + ["--split"] * (split is not None):
            raise DatasetError(f"{dataset.path}: brings splits of its own. Remove them, or leave out {option}.")
        must_not_leak([Fold(*halves) for halves in dataset.splits], groups, find_splits(dataset.path) or dataset.path)
        return dataset
    volumes = label_volumes(dataset, processes, progress) if stratify else None
    asked = {"group_by": group_by, "stratify": stratify}
    made = Made(_folds(groups, volumes), asked) if split is None else _one_split(split, groups, volumes, asked)
    _must_not_move(made.folds, dataset, workspace)
    if not record:
        return replace(dataset, splits=tuple((fold.training, fold.validation) for fold in made.folds))
    workspace.write_folds(made.folds, made.asked)
    return dataset


def _folds(groups: Mapping[str, str], volumes: Mapping[str, Sequence[float]] | None) -> tuple[Fold, ...]:
    folds = tuple(balanced_folds(groups, volumes))
    sizes = [len(fold.validation) for fold in folds]
    each = counted(max(sizes), "case") if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)} cases"
    logger.info("%s of %s in %s", counted(len(folds), "fold"), each, counted(len(set(groups.values())), "group"))
    return folds


def _one_split(
    split: str, groups: Mapping[str, str], volumes: Mapping[str, Sequence[float]] | None, asked: Mapping[str, Any]
) -> Made:
    training, validation, test = _parts(split, groups, volumes)
    kept = f"; kept for a test: {', '.join(test)}" if test else ""
    are_cases = sum(map(int, split.split("/"))) == len(groups)
    read = "cases" if are_cases else f"shares of {counted(len(groups), 'case')}"
    logger.info(
        "one split, %s read as %s: %d to train, %d to validate%s", split, read, len(training), len(validation), kept
    )
    return Made((Fold(training, validation),), {**asked, "split": split, "test": list(test)})


def _parts(
    split: str, groups: Mapping[str, str], volumes: Mapping[str, Sequence[float]] | None
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Training, validation and test cases.

    Raises:
        DatasetError: the split cannot be read, or leaves a part empty.
    """
    numbers = split.split("/")
    if len(numbers) not in (2, 3) or not all(map(_is_count, numbers)):
        raise DatasetError(
            f"--split {split}: expected TRAIN/VALIDATION or TRAIN/VALIDATION/TEST, in cases or shares of them, as in "
            "190/20 or 80/10/10."
        )
    sizes = split_sizes([int(part) for part in numbers], len(groups))
    parts = balanced_parts(groups, sizes, volumes) if min(sizes) else []
    if not parts or not all(parts):
        count = len(set(groups.values()))
        remedy = "Give shares that are closer to each other" if count >= len(numbers) else "Group them otherwise"
        raise DatasetError(
            f"--split {split}: {counted(len(groups), 'case')} in {counted(count, 'group')} leave one of these parts "
            f"empty. {remedy}."
        )
    training, validation, *test = parts
    return training, validation, test[0] if test else ()


def _is_count(text: str) -> bool:
    return re.fullmatch("[0-9]{1,9}", text) is not None and int(text) > 0


def split_sizes(shares: Sequence[int], cases: int) -> list[int]:
    """Cases of each part of a split: all of them, in proportion to the shares, the largest remainders rounded up.

    >>> split_sizes([190, 20], 210), split_sizes([80, 10, 10], 210), split_sizes([199, 11], 21)
    ([190, 20], [168, 21, 21], [20, 1])
    """
    exact = [share * cases / sum(shares) for share in shares]
    sizes = [int(part) for part in exact]
    largest = sorted(range(len(shares)), key=lambda part: sizes[part] - exact[part])
    for part in largest[: cases - sum(sizes)]:
        sizes[part] += 1
    return sizes


def _must_not_move(folds: Sequence[Fold], dataset: Dataset, workspace: Workspace) -> None:
    """Refuses other folds than those that models were trained in: their validation would hold what they have seen.

    Where the record of folds is gone, nobody knows these; a model of other folds is refused when it is met.

    Raises:
        WorkspaceError: there are such models.
    """
    begun = workspace.begun_folders()
    if begun and workspace.folds_file.is_file() and tuple(folds) != tuple(workspace.folds_of(dataset)):
        raise WorkspaceError(
            f"{begun[0]}: models were trained in other folds than those asked for now. Leave --group-by, "
            "--stratify and --split as they were, or train in another workspace (-w DIR)."
        )
