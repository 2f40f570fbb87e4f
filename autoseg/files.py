"""Files that are whole or absent: atomic writes, JSON, content hashes.

Comes in: bytes, or data made of JSON's types. Goes out: a file that appears under its name
only when it is complete, so a kill at any instant leaves the old file or the new one.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autoseg.errors import AutosegError


@contextmanager
def atomic_path(target: Path, suffix: str = "") -> Iterator[Path]:
    """Yields a path to write to; moves what was written there onto `target` at the end.

    The temporary file lies beside the target, so the move is a rename within one file system.
    If the block raises, the temporary file is removed and the target stays as it was. What an
    earlier process left of this target when it was killed is removed.

    Args:
        target: the file to write. Its folder is made if need be.
        suffix: ending of the temporary name, for writers that choose a format by it (".nii.gz").
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.name}.{os.getpid()}.tmp{suffix}"
    try:
        yield temporary
        with temporary.open("rb+") as written:  # Windows flushes only what is open for writing
            os.fsync(written.fileno())
        temporary.replace(target)
    except OSError as problem:
        if problem.filename in (None, str(temporary)):
            problem.filename = str(target)  # what the user knows it by
        raise
    finally:
        temporary.unlink(missing_ok=True)
        _remove_left_overs(target, suffix)


def write_bytes(target: Path, content: bytes) -> None:
    """Writes a file atomically."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)


def write_text(target: Path, content: str) -> None:
    """Writes a text file atomically, as UTF-8."""
    write_bytes(target, content.encode("utf-8"))


def write_json(target: Path, data: Any) -> None:
    """Writes JSON atomically: indented, UTF-8, newline at the end. NaN is refused (ValueError)."""
    write_text(target, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(source: Path, error: type[AutosegError] = AutosegError) -> Any:
    """Reads a JSON file.

    Args:
        source: the file.
        error: the class to raise when the file is absent or is not JSON.
    """
    try:
        return json.loads(source.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise error(f"{source}: no such file.") from None
    except (ValueError, RecursionError) as problem:
        raise error(f"{source}: not a JSON file ({problem}). Mend it or remove it.") from None


def content_hash(data: Any) -> str:
    """Twelve hexadecimal digits that stand for JSON data, whatever the order of its keys.

    >>> content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
    True
    """
    text = json.dumps(data, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]


def _remove_left_overs(target: Path, suffix: str) -> None:
    """Removes temporary files of a target whose writers are gone."""
    for path in target.parent.glob(f".{glob.escape(target.name)}.*.tmp{suffix}"):
        writer = path.name.removeprefix(f".{target.name}.").partition(".")[0]
        if writer.isdecimal() and not _is_running(int(writer)):
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    if sys.platform == "win32":  # where a signal of 0 ends the process instead of asking after it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
