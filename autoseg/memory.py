"""How much memory there is, and whether there was too little.

Comes in: what the system says of itself, or an error. Goes out: bytes, or yes and no.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

GIGABYTE = 1e9  # bytes
UNKNOWN_BYTES = 16 * GIGABYTE  # taken where a system does not say how much it has


class _Group(NamedTuple):
    """A control group of Linux: its folder and the names its version gives the files."""

    folder: Path
    limit: str
    used: str
    file_cache: str  # a line of memory.stat: cached files, which the system drops when memory is wanted


def machine_memory_bytes() -> float:
    """All memory of this machine."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return UNKNOWN_BYTES


def memory_limit_bytes(root: Path = Path("/")) -> float:
    """The lowest limit that a container or a batch system sets this process; infinite where none does.

    Linux limits a control group (version 1 or 2) and with it all groups inside. A container may show its own group
    as the root of all, so that the path a process has in the machine leads nowhere there.

    Args:
        root: of the file system.
    """
    return min((_number(group.folder / group.limit) for group in _groups(root)), default=math.inf)


def available_memory_bytes(root: Path = Path("/")) -> float:
    """What this process and those it starts may still take before the system, or a limit, ends one of them.

    Args:
        root: of the file system.
    """
    free = [_left(group) for group in _groups(root)]
    for line in _text(root / "proc" / "meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            free.append(int(line.split()[1]) * 1024)
    return max(0.0, min([*free, machine_memory_bytes()]))


def resident_memory_bytes() -> int:
    """What this process has resident now; 0 where the system does not say (not Linux)."""
    return _status("self", "VmRSS:")


def peak_memory_bytes(process: int) -> int:
    """The most memory a process has had resident since `forget_peak`; 0 where the system does not say (not Linux)."""
    return _status(str(process), "VmHWM:")


def forget_peak(root: Path = Path("/")) -> None:
    """The peak of this process counts from now on, where the system can do that: some containers forbid it.

    Args:
        root: of the file system.
    """
    with suppress(OSError):
        (root / "proc" / "self" / "clear_refs").write_text("5", encoding="ascii")


def is_lack_of_memory(problem: Exception) -> bool:
    """Whether a GPU's or the machine's memory ran out; torch has a class of its own for the former only.

    >>> is_lack_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."))
    True
    """
    said = ("out of memory", "can't allocate memory")
    return isinstance(problem, MemoryError) or any(words in str(problem) for words in said)


def _status(process: str, field: str) -> int:
    for line in _text(Path("/proc") / process / "status").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    return 0


def _groups(root: Path) -> Iterator[_Group]:
    """The groups this process is in, and those they are in."""
    groups = root / "sys" / "fs" / "cgroup"
    for line in _text(root / "proc" / "self" / "cgroup").splitlines():
        controllers, path = line.split(":", 2)[1:]
        group = PurePosixPath(path.lstrip("/"))
        for one in (group, *group.parents):
            if controllers == "":
                yield _Group(groups / one, "memory.max", "memory.current", "inactive_file")
            elif "memory" in controllers.split(","):
                folder = groups / "memory" / one
                yield _Group(folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def _left(group: _Group) -> float:
    limit, used = _number(group.folder / group.limit), _number(group.folder / group.used)
    if math.inf in (limit, used):
        return math.inf
    cached = [line.split() for line in _text(group.folder / "memory.stat").splitlines()]
    return limit - used + sum(int(words[1]) for words in cached if words[0] == group.file_cache)


def _number(path: Path) -> float:
    try:
        return int(_text(path))
    except ValueError:  # "max", or no such file
        return math.inf


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
