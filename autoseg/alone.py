"""One process at a time in a folder.

Comes in: a folder that is about to be filled. Goes out: nothing; inside, no second process fills the same folder. The
lock is the system's, on a file: it ends with the process that holds it, however that ends, so none is ever left over.
"""

from __future__ import annotations

import errno
import logging
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autoseg.errors import AutosegError

logger = logging.getLogger(__name__)

LOCK = ".lock"


@contextmanager
def alone_in(folder: Path, problem: str, remedy: str) -> Iterator[None]:
    """Inside, this process is the only one that fills a folder; other processes are refused, threads are not.

    On a disk that has no locks nobody is refused, and a warning says so. Windows has none of this kind: there, too.

    Args:
        folder: made if need be.
        problem: what another process is doing there, for the message.
        remedy: what to do then.

    Raises:
        AutosegError: another process is there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = _lock(folder, problem, remedy)
    try:
        yield
    finally:
        if file is not None:
            (folder / LOCK).unlink(missing_ok=True)
            os.close(file)


def _lock(folder: Path, problem: str, remedy: str) -> int | None:
    """The locked file; None where there are no locks."""
    if sys.platform == "win32":
        return None
    import fcntl

    while True:
        try:
            file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as refused:
            _tell(folder, refused)
            return None
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # which processes that are forked do not inherit
            if _is_at(folder / LOCK, file):
                os.truncate(file, 0)
                os.write(file, f"process {os.getpid()} on {platform.node()}".encode())
                return file
        except OSError as refused:
            if refused.errno in (errno.EACCES, errno.EAGAIN):
                holder = os.read(file, 200).decode(errors="replace")
                os.close(file)
                raise AutosegError(f"{folder}: {problem}{f' ({holder})' * bool(holder)}. {remedy}") from None
            os.close(file)
            _tell(folder, refused)
            return None
        os.close(file)  # who held it has removed it meanwhile


def _is_at(path: Path, file: int) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def _tell(folder: Path, refused: OSError) -> None:
    logger.warning(
        "warning: %s: cannot be locked (%s); start no second process that writes there", folder, refused.strerror
    )
