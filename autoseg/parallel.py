"""One function over many cases, in several processes.

Comes in: a function of one item, the items, a number of processes. Goes out: the results, in
the order of the items. A process that dies is an error that says so; nothing waits for it.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from autoseg.errors import AutosegError
from autoseg.progress import Progress, Step, silent

Item = TypeVar("Item")
Result = TypeVar("Result")


def available_cores() -> int:
    """The processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_items(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    jobs: int | None,
    description: str,
    progress: Progress = silent,
    name: Callable[[Item], str] = str,
) -> list[Result]:
    """Applies a function to every item; results come in the order of the items.

    Args:
        function: of one item; with more than one job it must be importable by name.
        items: what to apply it to.
        jobs: processes at most; 1 stays in this process, None takes one a core.
        description: what is being done, for the progress display and for errors.
        progress: told of every finished item.
        name: of an item, for the progress display.

    Raises:
        AutosegError: a process was killed, most likely for want of memory.
        Exception: the first one `function` raises; items not yet begun are dropped.
    """
    jobs = min(available_cores() if jobs is None else jobs, len(items))
    with progress(description, len(items)) as step:
        if jobs <= 1:
            return [_done(function(item), step, name(item)) for item in items]
        return _pooled(function, items, jobs, description, step, name)


def _done(result: Result, step: Step, note: str) -> Result:
    step(1, note)
    return result


def _pooled(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    jobs: int,
    description: str,
    step: Step,
    name: Callable[[Item], str],
) -> list[Result]:
    # fork starts in milliseconds and needs no `if __name__ == "__main__"` in a user's script;
    # elsewhere than on Linux it is unsafe or absent.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_one_thread) as pool:
        try:
            futures = {pool.submit(function, item): item for item in items}
            for future in as_completed(futures):
                future.result()
                step(1, name(futures[future]))
        except BrokenProcessPool:
            raise AutosegError(
                f"{description}: a worker process was killed, most likely because memory ran out. "
                f"Run the same command again with fewer than {jobs} jobs (--jobs {max(1, jobs // 2)})."
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in futures]


def _one_thread() -> None:
    """One computing thread a process: the processes already fill the machine.

    It also keeps a forked child out of the parent's OpenMP threads, which do not survive a fork.
    """
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    if "blosc2" in sys.modules:
        sys.modules["blosc2"].set_nthreads(1)
