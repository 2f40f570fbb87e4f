"""The facts about a dataset, measured once and kept in the workspace.

Comes in: a dataset, or a folder of nnU-Net's facts; a workspace. Goes out: the fingerprint.
"""

from __future__ import annotations

from pathlib import Path

from autoseg.dataset import Dataset, files_hash
from autoseg.errors import WorkspaceError
from autoseg.fingerprint import (
    Fingerprint,
    extract_fingerprint,
    is_nnunet_fingerprint_folder,
    read_fingerprint,
    read_nnunet_fingerprint,
    write_fingerprint,
)
from autoseg.progress import Progress, silent
from autoseg.workflow.workspace import Workspace


def fingerprint_in_workspace(
    dataset: Dataset, workspace: Workspace, processes: int | None = None, progress: Progress = silent
) -> Fingerprint:
    """The dataset's fingerprint, extracted unless the workspace has one of the same cases and labels."""
    if has_fingerprint(dataset, workspace):
        return read_fingerprint(workspace.fingerprint_file)
    fingerprint = extract_fingerprint(dataset, processes, progress)
    write_fingerprint(workspace.fingerprint_file, fingerprint)
    return fingerprint


def facts_of(
    folder: Path, workspace: Workspace, processes: int | None = None, progress: Progress = silent
) -> Fingerprint:
    """The facts about a folder: of a dataset, as `fingerprint_in_workspace`; or those nnU-Net measured.

    nnU-Net's are for planning only. They are not kept in the workspace, for they lack the cases' names.

    Args:
        folder: of a dataset, or of nnU-Net's dataset.json and dataset_fingerprint.json and nothing else.
        workspace: where the fingerprint of a dataset is kept.
        processes: how many; None for as many as there are cores.
        progress: told of every case.

    Raises:
        DatasetError: the folder is neither, or a file in it is at fault.
        WorkspaceError: the workspace belongs to another dataset.
    """
    if is_nnunet_fingerprint_folder(folder):
        return read_nnunet_fingerprint(folder)
    return fingerprint_in_workspace(Dataset.open(folder), workspace, processes, progress)


def has_fingerprint(dataset: Dataset, workspace: Workspace) -> bool:
    """Whether the workspace has a fingerprint of this dataset, of its files as they are now.

    Raises:
        WorkspaceError: the workspace belongs to another dataset.
    """
    if not workspace.fingerprint_file.is_file():
        return False
    must_belong(dataset, workspace)
    found = read_fingerprint(workspace.fingerprint_file)
    described = found.dataset == dataset.description and found.dataset.is_like(dataset.description)
    return described and found.has_images == dataset.has_images and found.files == files_hash(dataset.cases)


def must_belong(dataset: Dataset, workspace: Workspace) -> None:
    """Refuses a workspace whose fingerprint has no case in common with the dataset.

    Raises:
        WorkspaceError: it is another dataset's.
    """
    if not workspace.fingerprint_file.is_file():
        return
    found = read_fingerprint(workspace.fingerprint_file)
    if not {case.name for case in dataset.cases} & {case.name for case in found.cases}:
        raise WorkspaceError(
            f"{workspace.path}: this workspace belongs to dataset '{found.dataset.name}', which has no case in common "
            f"with {dataset.path}. Give another workspace (-w DIR)."
        )
