"""Ctrl-C, and the signal by which systems end processes: asked to stop, a training stops where nothing is lost.

Comes in: signals. Goes out: whether somebody asked. Asked a second time, the process ends at once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Asked(Exception):
    """A training that was asked to stop has come to where it can."""


class Interruption:
    """Whether this process was asked to stop.

    Attributes:
        asked: by a signal.
    """

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """What a signal calls."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def interruption() -> Iterator[Interruption]:
    """Inside, the first signal to stop is taken note of and no more. Only the main thread hears signals."""
    heard = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield heard
        return
    before = {number: signal.signal(number, heard) for number in SIGNALS}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
