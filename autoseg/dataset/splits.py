"""The training and validation halves a dataset brings along, as nnU-Net writes them.

Comes in: a folder with splits_final.json or splits.json, a list of {"train": […], "val": […]}.
Goes out: (training, validation) case names a fold.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise
from pathlib import Path
from typing import Any

from autoseg.errors import DatasetError
from autoseg.files import read_json
from autoseg.phrases import quoted

Splits = tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]

FILE_NAMES = ("splits_final.json", "splits.json")


def read_splits(folder: Path, names: Collection[str]) -> Splits | None:
    """Reads the splits of a dataset, or None where it brings none.

    Args:
        folder: of the dataset.
        names: of its training cases.

    Raises:
        DatasetError: the file is not a list of splits, names a case that the dataset lacks, or
            has a case twice in a fold.
    """
    file = find_splits(folder)
    if file is None:
        return None
    content = read_json(file, DatasetError)
    if not isinstance(content, list) or not content:
        raise DatasetError(f'{file}: must hold a list of folds, [{{"train": ["…"], "val": ["…"]}}, …].')
    return tuple(_fold(file, number, fold, set(names)) for number, fold in enumerate(content))


def find_splits(folder: Path) -> Path | None:
    """The file that holds the splits of a dataset, or None where it brings none."""
    return next((folder / name for name in FILE_NAMES if (folder / name).is_file()), None)


def _fold(file: Path, number: int, fold: Any, names: set[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    halves = [fold.get(half) if isinstance(fold, dict) else None for half in ("train", "val")]
    if not all(isinstance(half, list) and half and all(isinstance(name, str) for name in half) for half in halves):
        raise DatasetError(f"{file}: fold {number} must list case names under 'train' and under 'val'.")
    training, validation = (tuple(sorted(half or ())) for half in halves)
    if unknown := sorted({*training, *validation} - names):
        raise DatasetError(
            f"{file}: fold {number} names {quoted(unknown)}, which the dataset lacks. Correct the file or remove it."
        )
    if twice := sorted({one for half in (training, validation) for one, other in pairwise(half) if one == other}):
        raise DatasetError(f"{file}: fold {number} lists {quoted(twice)} twice in one half. Keep each case once.")
    if shared := sorted(set(training) & set(validation)):
        raise DatasetError(
            f"{file}: fold {number} has {quoted(shared)} in both halves; its score would be flattered. "
            "Keep each case in one."
        )
    return training, validation
