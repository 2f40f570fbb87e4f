"""One function over many cases, in several processes.

Comes in: a function of one item, the items, a number of processes. Goes out: the results, in
the order of the items. What a process was doing when it died is done once more, alone; nothing waits
for the dead.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, NamedTuple, TypeVar

from autoseg.errors import AutosegError
from autoseg.memory import GIGABYTE, forget_peak, peak_memory_bytes
from autoseg.progress import Progress, silent

logger = logging.getLogger(__name__)

SAMPLE_SECONDS = 0.1  # how often the memory of the processes is looked at
ORPHAN_SECONDS = 1.0  # how often an idle process looks whether the one that started it is still there

Item = TypeVar("Item")
Result = TypeVar("Result")


def available_cores() -> int:
    """The processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_items(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    processes: int | None,
    description: str,
    progress: Progress = silent,
    name: Callable[[Item], str] = str,
    apart: bool = False,
) -> list[Result]:
    """Applies a function to every item; results come in the order of the items.

    A process that is killed, as Linux does when memory runs out, takes no other with it. It is not replaced, so
    the rest have more memory; and its item is done again at the end, with no other process beside it.

    Args:
        function: of one item; with more than one job it must be importable by name.
        items: what to apply it to.
        processes: at most; 1 stays in this process, None takes one a core.
        description: what is being done, for the progress display and for errors.
        progress: told of every finished item.
        name: of an item, for the progress display and for errors.
        apart: start a process even if one is enough, so that its death is not that of this one.

    Raises:
        AutosegError: a process died over an item twice, most likely for want of memory. All others are done.
        Exception: the first one `function` raises; items not yet begun are dropped.
    """
    processes = min(available_cores() if processes is None else processes, len(items))
    results: dict[int, Result] = {}
    with progress(description, len(items)) as step:

        def done(index: int, result: Result) -> None:
            results[index] = result
            step(1, name(items[index]))

        if processes <= 1 and not apart:
            for index, item in enumerate(items):
                done(index, function(item))
        elif items:
            deaths = _Pool(function, items, processes, done).run(range(len(items)))
            for death in deaths:
                case = name(items[death.item])
                logger.warning("warning: %s: %s %s. It is tried once more, alone.", description, case, death)
            again = [last for death in deaths for last in _Pool(function, items, 1, done).run([death.item])]
            if again:
                raise AutosegError(_obituary(description, [(name(items[death.item]), death) for death in again]))
    return [results[index] for index in range(len(items))]


def how_it_ended(exit_code: int) -> str:
    """What a process's exit code says.

    >>> how_it_ended(-9), how_it_ended(3)
    ('killed by SIGKILL', 'exit code 3')
    """
    try:
        return f"killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"exit code {exit_code}"


def end_with_parent() -> None:
    """For a thread beside the work of a process: ends it when the one that started it is gone, however that ended."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


class _Death(NamedTuple):
    """How a process ended.

    Attributes:
        item: number of the one it was at.
        exit_code: the negative number of a signal, or what it exited with.
        peak_bytes: the most memory it was seen to have resident during that item; 0 if unknown.
    """

    item: int
    exit_code: int
    peak_bytes: int

    def __str__(self) -> str:
        used = f", having used {self.peak_bytes / GIGABYTE:.2f} GB of memory" if self.peak_bytes else ""
        return f"ended its process ({how_it_ended(self.exit_code)}{used})"

    @property
    def killed(self) -> bool:
        """Whether it was ended from outside, by what ends processes when memory runs out."""
        return self.exit_code == -9


def _obituary(description: str, deaths: Sequence[tuple[str, _Death]]) -> str:
    """What is said of items that cannot be done."""
    first, death = deaths[0]
    others = f" So did {', '.join(name for name, _ in deaths[1:])}." if len(deaths) > 1 else ""
    if death.killed:
        remedy = "Most likely memory ran out: run the same command where there is more, or leave the case out."
    else:
        remedy = "Is a file of it damaged? Mend it, or leave the case out, and run the same command again."
    return f"{description}: {first} {death}, and it was alone.{others} All others are done. {remedy}"


class _Worker(Generic[Item]):
    """A process that does one item after the other."""

    def __init__(self, function: Callable[[Item], Any], items: Sequence[Item]) -> None:
        # fork starts in milliseconds and needs no `if __name__ == "__main__"` in a user's script;
        # elsewhere than on Linux it is unsafe or absent.
        context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        self.pipe: Connection
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(function, theirs, os.getpid()), daemon=True)
        self.process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        self.index: int | None = None
        self.peak_bytes = 0
        self._items = items

    def give(self, index: int) -> None:
        """Hands out an item; a dead process is noticed when its answer is read."""
        self.index, self.peak_bytes = index, 0
        with suppress(OSError):
            self.pipe.send((self._items[index],))

    def observe(self) -> None:
        """Looks at its memory, while there is something to see."""
        self.peak_bytes = max(self.peak_bytes, peak_memory_bytes(self.process.pid))

    def end(self) -> int:
        """Dismisses it if it is idle, ends it if it is not; its exit code."""
        if self.index is None:
            with suppress(OSError):
                self.pipe.send(None)
        else:
            self.process.terminate()
        self.pipe.close()
        self.process.join()
        code: int = self.process.exitcode
        return code


class _Pool(Generic[Item, Result]):
    """Processes that share the items. A dead one is not replaced while others live."""

    def __init__(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        processes: int,
        done: Callable[[int, Result], None],
    ) -> None:
        self._function, self._items, self._processes, self._done = function, items, processes, done
        self._waiting: deque[int] = deque()
        self._failure: Exception | None = None
        self._deaths: list[_Death] = []

    def run(self, indices: Iterable[int]) -> list[_Death]:
        """Does items; returns the deaths. When the last process has died, the rest is done in one at a time."""
        self._waiting.extend(indices)
        processes = self._processes
        while self._waiting:
            self._run(min(processes, len(self._waiting)))
            processes = 1
        if self._failure is not None:
            raise self._failure
        return self._deaths

    def _run(self, processes: int) -> None:
        workers: list[_Worker[Item]] = []
        try:
            for _ in range(processes):
                workers.append(_Worker(self._function, self._items))
                workers[-1].give(self._waiting.popleft())
            while busy := [worker for worker in workers if worker.index is not None]:
                ready = wait([worker.pipe for worker in busy], SAMPLE_SECONDS)
                for worker in busy:
                    if worker.pipe in ready and not self._hear(worker):
                        workers.remove(worker)
                    elif worker.index is not None:
                        worker.observe()
        finally:
            for worker in workers:
                worker.end()

    def _hear(self, worker: _Worker[Item]) -> bool:
        """Takes an answer and hands out the next item; False if there is none because the process died."""
        assert worker.index is not None
        try:
            fine, answer = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join()
            self._deaths.append(_Death(worker.index, worker.end(), worker.peak_bytes))
            return False
        if fine:
            self._done(worker.index, answer)
        elif self._failure is None:
            self._failure = answer
            self._waiting.clear()
        worker.index = None
        if self._waiting:
            worker.give(self._waiting.popleft())
        return True


def _work(function: Callable[[Any], Any], pipe: Connection, parent: int) -> None:
    """The life of a worker process."""
    _one_thread()
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            while not pipe.poll(ORPHAN_SECONDS):
                if os.getppid() != parent:
                    return
            task = pipe.recv()
            if task is None:
                return
            forget_peak()
            _send(pipe, _outcome(function, task[0]))


def _outcome(function: Callable[[Any], Any], item: Any) -> tuple[bool, Any]:
    try:
        return True, function(item)
    except Exception as problem:
        if not isinstance(problem, AutosegError):
            problem.add_note("In a worker process:\n" + traceback.format_exc())
        return False, problem


def _send(pipe: Connection, outcome: tuple[bool, Any]) -> None:
    try:
        pipe.send(outcome)
    except OSError:  # nobody listens
        raise
    except Exception as problem:  # it cannot be sent
        pipe.send((False, RuntimeError(f"{problem!r} while sending {outcome[1]!r}")))


def _one_thread() -> None:
    """One computing thread a process: the processes already fill the machine.

    It also keeps a forked child out of the parent's OpenMP threads, which do not survive a fork.
    """
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    if "blosc2" in sys.modules:
        sys.modules["blosc2"].set_nthreads(1)
