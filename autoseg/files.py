"""Files that are whole or absent: atomic writes, JSON, content hashes.

Comes in: bytes, or data made of JSON's types. Goes out: a file that appears under its name
only when it is complete, so a kill at any instant leaves the old file or the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from autoseg.errors import AutosegError
from autoseg.frozen import Frozen, first_fault

Kind = TypeVar("Kind", bound=Frozen)

TEMPORARY = re.compile(r"\..+\.([0-9]+)@(.*)\.tmp(\.[a-z0-9.]+)?")  # process, machine


@contextmanager
def atomic_path(target: Path, suffix: str = "", durable: bool = True) -> Iterator[Path]:
    """Yields a path to write to; moves what was written there onto `target` at the end.

    The temporary file lies beside the target, so the move is a rename within one file system.
    If the block raises, the temporary file is removed and the target stays as it was. What earlier
    processes left in the folder when they were killed is removed, the first time a process writes there.

    Args:
        target: the file to write. Its folder is made if need be.
        suffix: ending of the temporary name, for writers that choose a format by it (".nii.gz").
        durable: wait until the disk has the file. Without it a power cut, though not a kill, may leave one that
            is cut short under the target's name: only for what can be made again, and is recognised by its size.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_left_overs(target.parent)
    temporary = target.parent / f".{target.name}.{os.getpid()}@{platform.node()}.tmp{suffix}"
    try:
        yield temporary
        if durable:
            with temporary.open("rb+") as written:  # Windows flushes only what is open for writing
                os.fsync(written.fileno())
        temporary.replace(target)
    except OSError as problem:
        if problem.filename in (None, str(temporary)):
            problem.filename = str(target)  # what the user knows it by
        raise
    finally:
        temporary.unlink(missing_ok=True)


def check_place(path: Path, example: str, error: type[AutosegError] = AutosegError) -> None:
    """Refuses a path at which no file can be written. Better told before an hour of work than after.

    Args:
        path: to write to.
        example: of a file's name, for the message.
        error: the class to raise.
    """
    above = next((folder for folder in path.absolute().parents if folder.exists()), path)
    if path.name and above.is_file():
        raise error(f"{above}: a file, and a folder is needed there. Give another name.")
    if not path.name or path.is_dir() or not above.is_dir():
        raise error(f"{path}: not a place for a file. Give the name of a file, such as {example}.")


def write_bytes(target: Path, content: bytes, durable: bool = True) -> None:
    """Writes a file atomically."""
    with atomic_path(target, durable=durable) as temporary:
        temporary.write_bytes(content)


def write_text(target: Path, content: str, durable: bool = True) -> None:
    """Writes a text file atomically, as UTF-8."""
    write_bytes(target, content.encode("utf-8"), durable)


def write_json(target: Path, data: Any, durable: bool = True) -> None:
    """Writes JSON atomically: indented, UTF-8, newline at the end. NaN is refused (ValueError)."""
    write_text(target, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n", durable)


def read_json(source: Path, error: type[AutosegError] = AutosegError) -> Any:
    """Reads a JSON file.

    Args:
        source: the file.
        error: the class to raise when the file is absent, is no regular file, or is not JSON.
    """
    if source.exists() and not source.is_file():  # what nobody writes to would be waited for
        found = "a folder" if source.is_dir() else "a pipe or a device"
        raise error(f"{source}: {found}, and a JSON file is needed. Give the path of one.")
    try:
        return parse_json(source.read_text(encoding="utf-8-sig"))  # Windows puts a mark before it
    except FileNotFoundError:
        raise error(f"{source}: no such file.") from None
    except (ValueError, RecursionError) as problem:
        raise error(f"{source}: not a JSON file ({problem}). Mend it or remove it.") from None
    except AutosegError as problem:
        raise error(f"{source}: {problem}") from None


def parse_json(text: str) -> Any:
    """JSON → data.

    Raises:
        AutosegError: an object has two values of one name, of which only one would count.
        ValueError: it is not JSON.
        RecursionError: its brackets have no end.

    >>> parse_json('{"batch_size": 2, "batch_size": 8}')
    Traceback (most recent call last):
    autoseg.errors.AutosegError: 'batch_size' is given twice. Keep one of the two.
    """
    return json.loads(text, object_pairs_hook=_each_name_once)


def read_frozen(kind: type[Kind], source: Path, error: type[AutosegError], what: str, remedy: str) -> Kind:
    """Reads a JSON file that holds one record, as it was written.

    Args:
        kind: of the record.
        source: the file.
        error: the class to raise when the file is absent, is not JSON, or holds something else.
        what: what is expected there, with its article.
        remedy: what to do about a file that holds something else.
    """
    try:
        return kind.model_validate(read_json(source, error))
    except ValidationError as invalid:
        raise error(f"{source}: not {what}: {first_fault(invalid)}. {remedy}") from None


def content_hash(data: Any) -> str:
    """Twelve hexadecimal digits that stand for JSON data, whatever the order of its keys.

    >>> content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
    True
    """
    text = json.dumps(data, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]


def _each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        name = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise AutosegError(f"'{name}' is given twice. Keep one of the two.")
    return found


@cache  # once a process: a folder of thousands of cases is not listed for each of them
def _remove_left_overs(folder: Path) -> None:
    """Removes temporary files whose writers, processes of this machine, are gone."""
    for path in folder.glob(".*.tmp*"):
        writer = TEMPORARY.fullmatch(path.name)
        if writer and writer[2] == platform.node() and not _is_running(int(writer[1])):
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
