"""How long operations tell whoever called them how far they are.

A library function takes `progress: Progress = silent`; the command line passes one that draws.

    with progress("resampling", len(cases)) as step:
        for case in cases:
            ...
            step(1, case.name)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Step = Callable[[float, str], None]  # (how much was just done, a note to show)
Progress = Callable[[str, float], AbstractContextManager[Step]]  # (what is done, the total)


@contextmanager
def silent(description: str, total: float) -> Iterator[Step]:
    """Shows nothing."""

    def step(done: float, note: str) -> None:
        del done, note

    yield step


def scaled(step: Step | None, share: float) -> Step | None:
    """For a part of an operation: what is a whole to it is told as this share."""
    return None if step is None else lambda done, note: step(share * done, note)
