"""What the tasks of test_engine.py do: a module of its own, which the processes that do them can import."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from autoseg.errors import AutosegError


def note(path: Path, name: str, device: str | None) -> None:
    """Writes when it began and ended, by the clock that all processes share, and where."""
    begun = time.monotonic()
    time.sleep(0.2)
    (path / name).write_text(f"{begun} {time.monotonic()} {device} {os.getpid()}")


def fail(device: str | None) -> None:
    raise AutosegError("not like this")


def stumble(device: str | None) -> None:
    raise ZeroDivisionError("by nothing")


def die(device: str | None) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(path: Path, device: str | None) -> None:
    path.touch()
    time.sleep(60)


def linger(path: Path, device: str | None) -> None:
    path.write_text(str(os.getpid()))
    time.sleep(60)
