"""Whether the files of a dataset are still those that something was made from.

Comes in: cases. Goes out: a hash that changes with their files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autoseg.dataset.dataset import Case
from autoseg.files import content_hash


def files_hash(cases: Sequence[Case]) -> str:
    """Twelve digits that stand for the names, sizes and times of change of all files of the cases.

    No file is read. One that is absent counts as absent. Folders are no part of it, so a dataset
    that is moved as a whole keeps its hash.
    """
    return content_hash(
        [
            [case.name, [_state(path) for path in case.images], _state(case.label) if case.label else None]
            for case in cases
        ]
    )


def _state(path: Path) -> tuple[str, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return path.name, status.st_size, status.st_mtime_ns
