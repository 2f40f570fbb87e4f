"""What the command line shows while it works: messages, progress, errors.

On a terminal progress is a live bar; into a file or a pipe, a line now and then.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from autoseg.progress import Step

SECONDS_BETWEEN_LINES = 30.0  # where there is no terminal to draw on

out = Console(highlight=False, soft_wrap=True)  # results
err = Console(stderr=True, highlight=False, soft_wrap=True)  # everything else
_quiet = False


def set_verbosity(quiet: bool, verbose: bool) -> None:
    """What is shown of the library's log, and whether progress is shown at all."""
    global _quiet
    _quiet = quiet
    level = logging.ERROR if quiet else logging.DEBUG if verbose else logging.INFO
    shown = "%(asctime)s %(name)s: %(message)s" if verbose else "%(message)s"
    logging.basicConfig(level=logging.WARNING, format=shown, handlers=[_Shown()], force=True)
    logging.getLogger("autoseg").setLevel(level)


class _Shown(logging.Handler):
    """Prints the log where the progress bars are, so that neither breaks the other."""

    def emit(self, record: logging.LogRecord) -> None:
        err.print(escape(self.format(record)))


def say(message: str) -> None:
    """One line about what is going on."""
    if not _quiet:
        err.print(escape(message))


def show(result: str) -> None:
    """A result, on standard output."""
    out.print(escape(result))


def complain(message: str) -> None:
    """An error or a warning, shown even when quiet."""
    err.print(f"[bold red]autoseg:[/] {escape(message)}")


@contextmanager
def progress(description: str, total: float) -> Iterator[Step]:
    """Shows how far an operation is; see `autoseg.progress`."""
    if _quiet:
        yield lambda done, note: None
    elif err.is_terminal:
        with _bar(description, total) as step:
            yield step
    else:
        with _lines(description, total) as step:
            yield step


@contextmanager
def _bar(description: str, total: float) -> Iterator[Step]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=err, refresh_per_second=4) as bar:
        task = bar.add_task(escape(description), total=total, note="")
        yield lambda done, note: bar.update(task, advance=done, note=escape(note))


@contextmanager
def _lines(description: str, total: float) -> Iterator[Step]:
    started = told = time.monotonic()
    so_far = 0.0

    def step(done: float, note: str) -> None:
        nonlocal so_far, told
        so_far += done
        if time.monotonic() - told > SECONDS_BETWEEN_LINES:
            told = time.monotonic()
            err.print(escape(f"{description}: {so_far / max(total, 1e-9):.0%} after {told - started:.0f} s  {note}"))

    yield step
    err.print(escape(f"{description}: done in {time.monotonic() - started:.1f} s"))
