"""The resume file: everything a training needs to go on as if it had never stopped.

    resume.pt             the newest
    resume.previous.pt    the one before, should that one be damaged

Plain tensors, numbers and text only, read with `weights_only=True`: nothing in them is executed.
"""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any, Final, TypedDict

import torch

from autoseg.errors import TrainingError
from autoseg.files import atomic_path
from autoseg.inference.model import RESUME

logger = logging.getLogger(__name__)

FORMAT: Final = 2
PREVIOUS = "resume.previous.pt"


class Checkpoint(TypedDict):
    """What is saved after every epoch, and in long ones in between.

    Attributes:
        format: version of the file format.
        job: hash of what decides the weights but the length: another job does not resume from this.
        iteration: number of steps taken.
        seconds: time spent training so far.
        reserve_seconds: what the end of an epoch took lately.
        rows: the log, a row an epoch.
        epoch: the state of the one that is not finished.
        rate_share: what learning rates are multiplied by, after losses that were not finite.
        setbacks: how often they were.
        network, optimizer, scaler: their state dicts.
        average: averaged weights; empty where the plan asks for none.
        best: weights after the best epoch, where the plan stops when there is none better; else empty.
    """

    format: int
    job: str
    iteration: int
    seconds: float
    reserve_seconds: float
    rows: list[dict[str, Any]]
    epoch: dict[str, Any]
    rate_share: float
    setbacks: int
    network: dict[str, Any]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    average: dict[str, Any]
    best: dict[str, Any]


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes the resume file, atomically; the newest so far becomes the one before.

    Raises:
        TrainingError: it cannot be written; the checkpoints before are kept.
    """
    path = folder / RESUME
    try:
        with atomic_path(path) as temporary:
            torch.save(checkpoint, temporary)
            if path.is_file():
                path.replace(folder / PREVIOUS)  # killed before the next line, this is the one that is read
    except RuntimeError as problem:  # what torch makes of a full disk
        raise TrainingError(
            f"{path}: the checkpoint cannot be written ({str(problem).splitlines()[0][:120]}): is the disk full? The "
            "checkpoint before is kept; make room and run the same command again."
        ) from None


def read_checkpoint(folder: Path, job: str) -> Checkpoint | None:
    """The newest whole resume file of a folder, None where there is none; tensors on the CPU.

    Raises:
        TrainingError: none is whole, or it belongs to another job.
    """
    paths = [path for path in (folder / RESUME, folder / PREVIOUS) if path.is_file()]
    damaged = []
    for path in paths:
        checkpoint = _load(path)
        if checkpoint is None:
            damaged.append(path.name)
            continue
        if damaged:
            logger.warning("warning: %s: cannot be read; going on from the checkpoint before", folder / damaged[0])
        _must_fit(checkpoint, job, folder)
        return checkpoint
    if damaged:
        raise TrainingError(
            f"{paths[0]}: the checkpoint cannot be read{', nor the one before' * (len(damaged) > 1)}. "
            f"Remove {' and '.join(damaged)} to start this training over."
        )
    return None


def _load(path: Path) -> Checkpoint | None:
    """What a file holds; None where it is damaged. Where the machine cannot read it now, it may be whole: OSError."""
    content = io.BytesIO(path.read_bytes())
    try:
        checkpoint: Checkpoint = torch.load(content, map_location="cpu", weights_only=True)
        _ = checkpoint["format"], checkpoint["job"]
        return checkpoint
    except MemoryError:
        raise
    except Exception:  # whatever a damaged file makes of torch; its advice is to unpickle all the same
        return None


def _must_fit(checkpoint: Checkpoint, job: str, folder: Path) -> None:
    if (checkpoint["format"], checkpoint["job"]) != (FORMAT, job):
        raise TrainingError(
            f"{folder}: holds a training by another plan, on other cases, on files that have changed since, or by "
            "another version of autoseg. Remove the folder to train anew, or derive the new plan under another name "
            "(autoseg plan … --name NAME)."
        )
