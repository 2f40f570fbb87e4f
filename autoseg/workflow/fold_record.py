"""`folds.json`: which cases each fold trains on and validates on, and how the folds were asked for.

Comes in: a path. Goes out: what is in the file, checked.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from autoseg.errors import WorkspaceError
from autoseg.files import read_frozen
from autoseg.frozen import Frozen
from autoseg.phrases import quoted


class RecordedFold(Frozen):
    """A fold, no case of which is in it twice.

    Attributes:
        training: names of the cases a model learns from.
        validation: names of the cases it is scored on.
    """

    training: tuple[str, ...]
    validation: tuple[str, ...]

    @model_validator(mode="after")
    def _each_once(self) -> RecordedFold:
        counts = Counter([*self.training, *self.validation])
        if twice := sorted(name for name, count in counts.items() if count > 1):
            raise ValueError(f"a fold has {quoted(twice)} more than once")
        return self


class Asked(Frozen):
    """How folds were asked for.

    Attributes:
        group_by: what keeps cases together.
        stratify: whether labels are spread evenly.
        split: sizes of the parts of one split.
        test: names of the cases that are in none of its halves.
    """

    group_by: str | None = None
    stratify: bool = False
    split: str | None = None
    test: tuple[str, ...] = ()


class FoldRecord(Frozen):
    """All folds; `asked` is None where they are the dataset's own, or nnU-Net's."""

    format: Literal[1] = 1
    asked: Asked | None = None
    folds: tuple[RecordedFold, ...] = Field(min_length=1)


def read_fold_record(path: Path) -> FoldRecord:
    """Reads a record of folds.

    Raises:
        WorkspaceError: the file is broken.
    """
    try:
        return read_frozen(FoldRecord, path, WorkspaceError, "a record of folds", "Restore the file, or remove it.")
    except WorkspaceError as problem:
        raise WorkspaceError(
            f"{problem} Folds that were asked for (--group-by, --stratify, --split) must then be asked for again."
        ) from None
