"""Engines: who does jobs that need each other, and on what.

Comes in: tasks, each with those that must be done before it. Goes out: which failed and which could therefore not
begin; the others are done. An engine is a function of tasks; there are two, for one task after another in this process
and for one a device, each device with a process of its own. Another one needs to know no more than `Task`.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from autoseg.errors import AutosegError, TrainingStopped
from autoseg.parallel import end_with_parent, how_it_ended

if TYPE_CHECKING:
    from autoseg.training.interruption import Interruption

logger = logging.getLogger(__name__)

WAKE_SECONDS = 0.5  # how often it is looked whether somebody asked to stop


class Task(NamedTuple):
    """Something to be done.

    Attributes:
        name: of its own.
        work: a function of the device to do it on, None for the plan's; what can be sent to another process.
        needs: names of tasks that must have been done before.
        after: names of those that must not be under way, whatever became of them.
    """

    name: str
    work: Callable[[str | None], object]
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


class NotDone(NamedTuple):
    """What was not done.

    Attributes:
        failed: name of a task → what was wrong.
        blocked: those that need one which failed.
    """

    failed: dict[str, str]
    blocked: tuple[str, ...]

    def must_be_nothing(self, count: int) -> None:
        """Refuses to go on when a task failed; the message names every one.

        Args:
            count: of all tasks.

        Raises:
            AutosegError: one did.
        """
        if not self.failed:
            return
        failures = "\n".join(f"{name}: {problem}" for name, problem in self.failed.items())
        waiting = f"; not begun, for they build on those: {'; '.join(self.blocked)}" if self.blocked else ""
        raise AutosegError(
            f"{failures}\n{len(self.failed)} of {count} jobs failed{waiting}. Mend that and run the same command "
            "again; what is done is kept."
        )


Engine = Callable[[Sequence[Task]], NotDone]
Told = Callable[[str, str], None]  # (name of a task, what becomes of it: "begun …", "done" or "failed: …")


def in_turn(device: str | None, told: Told) -> Engine:
    """An engine that does one task after another in this process.

    Args:
        device: for all of them.
        told: of the end of every task, as it ends.
    """

    def run(tasks: Sequence[Task]) -> NotDone:
        board = _Board(tasks, told)
        while (task := board.take()) is not None:
            try:
                task.work(device)
            except AutosegError as problem:
                board.end(task, str(problem))
            else:
                board.end(task, None)
        return board.not_done()

    return run


def on_devices(devices: Sequence[str], logs: Path, told: Told) -> Engine:
    """An engine that keeps several devices busy: each takes the next task whose needs are done.

    Asked to stop (Ctrl-C), it asks those that train, which stop with a checkpoint.

    Args:
        devices: such as "cuda:0" and "cuda:1"; one may be named twice.
        logs: folder; what a task writes to a terminal goes to NAME.log there.
        told: of the beginning and the end of every task.
    """

    def run(tasks: Sequence[Task]) -> NotDone:
        from autoseg.training.interruption import interruption  # with it comes torch, which the processes may not need

        board = _Board(tasks, told)
        workers = [_Worker(device, logs) for device in devices]
        try:
            with interruption() as heard:
                _keep_busy(workers, board, heard, told)
        finally:
            for worker in workers:
                worker.end()
        if heard.asked:
            raise TrainingStopped("Stopped. What is finished is kept; the same command goes on from there.")
        return board.not_done()

    return run


def _keep_busy(workers: Sequence[_Worker], board: _Board, heard: Interruption, told: Told) -> None:
    """Hands out tasks and takes note of their ends, until none is under way and none can begin."""
    asked_them = False
    while True:
        for worker in workers:
            if worker.task is None and not heard.asked and (task := board.take()) is not None:
                told(task.name, f"begun on {worker.device}, {worker.give(task)}")
        busy = [worker for worker in workers if worker.task is not None]
        if not busy:
            return
        if heard.asked and not asked_them:
            asked_them = True
            for worker in busy:
                worker.ask_to_stop()
        ready = wait([worker.pipe for worker in busy], WAKE_SECONDS)
        for worker in [worker for worker in busy if worker.pipe in ready]:
            ended, problem = worker.hear()
            if not (heard.asked and worker.is_gone):  # asked to stop where it could only end
                board.end(ended, problem)


class _Board:
    """Which tasks wait, and what became of the others."""

    def __init__(self, tasks: Sequence[Task], told: Told) -> None:
        self._waiting, self._told = list(tasks), told
        self._done: set[str] = set()
        self._failed: dict[str, str] = {}
        self._blocked: list[str] = []

    def take(self) -> Task | None:
        """The first that can begin; None where none can now."""
        over = self._done | {*self._failed, *self._blocked}
        for task in self._waiting:
            if self._done.issuperset(task.needs) and over.issuperset(task.after):
                self._waiting.remove(task)
                return task
        return None

    def end(self, task: Task, problem: str | None) -> None:
        """Takes note of what became of a task."""
        self._told(task.name, "done" if problem is None else f"failed: {problem}")
        if problem is None:
            self._done.add(task.name)
            return
        self._failed[task.name] = problem
        while lost := [one for one in self._waiting if {*self._failed, *self._blocked} & set(one.needs)]:
            self._blocked += [one.name for one in lost]
            self._waiting = [one for one in self._waiting if one not in lost]

    def not_done(self) -> NotDone:
        """What was not done, when no task can begin any more."""
        return NotDone(self._failed, tuple(self._blocked))


class _Worker:
    """A device, and the process that does tasks on it; a dead one is replaced."""

    def __init__(self, device: str, logs: Path) -> None:
        self.device, self._logs = device, logs
        self.task: Task | None = None
        self.pipe: Connection
        self._process: Any = None

    def give(self, task: Task) -> Path:
        """Hands out a task; returns its log."""
        if self._process is None:
            context: Any = multiprocessing.get_context("spawn")  # a forked process cannot use a GPU
            self.pipe, theirs = context.Pipe()
            self._process = context.Process(target=_work, args=(theirs, self.device))
            self._process.start()
            theirs.close()  # so that the end of the process is the end of the pipe
        self.task = task
        log = self._logs / f"{task.name.replace(', ', '_').replace(' ', '_')}.log"
        with suppress(OSError):  # a dead process is noticed when it is heard
            self.pipe.send((task.work, log))
        return log

    def hear(self) -> tuple[Task, str | None]:
        """The task that has ended, and what was wrong with it; None where nothing was."""
        assert self.task is not None
        ended, self.task = self.task, None
        try:
            problem: str | None = self.pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            problem = f"its process ended ({how_it_ended(self._process.exitcode)})"
            self.pipe.close()
            self._process = None
        return ended, problem

    @property
    def is_gone(self) -> bool:
        """Whether its process has ended."""
        return self._process is None

    def ask_to_stop(self) -> None:
        """Asks what it does to stop where nothing is lost."""
        self._process.terminate()

    def end(self) -> None:
        """Dismisses it if it is idle, ends it if it is not."""
        if self._process is None:
            return
        if self.task is not None:
            self._process.kill()
        self.pipe.close()
        self._process.join()


def _work(pipe: Connection, device: str) -> None:
    """The life of a process: Ctrl-C is not for it, but for the one that started it."""
    if hasattr(os, "setsid"):
        os.setsid()
    threading.Thread(target=end_with_parent, daemon=True).start()
    while True:
        try:
            work, log = pipe.recv()
        except (EOFError, OSError):
            return
        _write_to(log)
        pipe.send(_problem(work, device, log))


def _write_to(log: Path) -> None:
    """What this process and those that it starts write to a terminal goes to a file from now on."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        for number, stream in ((1, sys.stdout), (2, sys.stderr)):
            stream.flush()
            os.dup2(file.fileno(), number)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", force=True)
    logging.getLogger("autoseg").setLevel(logging.INFO)


def _problem(work: Callable[[str], Any], device: str, log: Path) -> str | None:
    try:
        work(device)
    except (AutosegError, TrainingStopped) as problem:
        logger.error("%s", problem)
        return str(problem)
    except Exception as problem:  # a bug, or memory that ran out: the others go on
        traceback.print_exc()
        return f"{type(problem).__name__}: {problem} (more in {log})"
    return None
