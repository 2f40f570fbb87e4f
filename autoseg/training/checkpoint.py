"""The resume file: everything a training needs to go on as if it had never stopped.

Plain tensors, numbers and text only, read with `weights_only=True`: nothing in it is executed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

import torch

from autoseg.errors import TrainingError
from autoseg.files import atomic_path

RESUME = "resume.pt"


class Checkpoint(TypedDict):
    """What is saved at the end of every epoch.

    Attributes:
        format: version of the file format.
        job: hash of the plan's stage, the cases and their files; another job does not resume from this.
        iteration: number of steps taken.
        seconds: time spent training so far.
        rows: the log, a row an epoch.
        network, optimizer, scaler: their state dicts.
    """

    format: int
    job: str
    iteration: int
    seconds: float
    rows: list[dict[str, Any]]
    network: dict[str, Any]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes the resume file, atomically.

    Raises:
        TrainingError: it cannot be written; the checkpoint before is kept.
    """
    try:
        with atomic_path(folder / RESUME) as temporary:
            torch.save(checkpoint, temporary)
    except RuntimeError as problem:  # what torch makes of a full disk
        raise TrainingError(
            f"{folder / RESUME}: the checkpoint cannot be written ({str(problem).splitlines()[0][:120]}): is the disk "
            "full? The checkpoint before is kept; make room and run the same command again."
        ) from None


def read_checkpoint(folder: Path, job: str) -> Checkpoint | None:
    """The resume file of a folder, None where there is none; tensors on the CPU.

    Raises:
        TrainingError: it is damaged, or belongs to another job.
    """
    path = folder / RESUME
    if not path.is_file():
        return None
    try:
        checkpoint: Checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        found = checkpoint["format"], checkpoint["job"]
    except (OSError, MemoryError):
        raise  # the file may be whole: it is the machine that cannot read it now
    except Exception as problem:  # whatever a damaged file makes of torch; its advice is to unpickle all the same
        raise TrainingError(
            f"{path}: the checkpoint cannot be read ({type(problem).__name__}). Remove it to start this training over."
        ) from None
    if found != (1, job):
        raise TrainingError(
            f"{folder}: holds a training by another plan, on other cases, or on files that have changed since. "
            "Remove the folder to train anew, or derive the new plan under another name (autoseg plan … --name NAME)."
        )
    return checkpoint
