"""Reading training patches in background processes.

Comes in: a source of patches. Goes out: an endless sequence of its batches, the same ones whatever the number of
processes.
"""

from __future__ import annotations

import itertools
import queue
import signal
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from batchgenerators.dataloading.data_loader import SlimDataLoaderBase
from batchgenerators.dataloading.multi_threaded_augmenter import MultiThreadedAugmenter

from autoseg.errors import AutosegError, TrainingError
from autoseg.memory import GIGABYTE, resident_memory_bytes
from autoseg.parallel import available_cores, end_with_parent, how_it_ended
from autoseg.training.augmentation import Sample
from autoseg.training.patch_source import PatchSource

PATIENCE_SECONDS = 1.0  # between two looks at whether the workers are alive, while no batch comes
LONGEST_WAIT_SECONDS = 600.0  # for a batch, while they are
END_SECONDS = 10.0  # for a killed process to end; one that waits for a dead disk does so later
AGAIN = "Run the same command again to continue from the last checkpoint"


@contextmanager
def load_batches(source: PatchSource, first: int, workers: int) -> Iterator[Iterator[list[Sample]]]:
    """Batches from iteration `first` on, read ahead by background processes.

    Args:
        source: of the samples.
        first: number of the first iteration.
        workers: processes; 0 reads in this one.

    Raises:
        TrainingError: while iterating, a process failed (with its traceback), was killed, or gave no
            batch for ten minutes.
    """
    if workers == 0:
        yield _in_process(source, first)
        return
    loader = MultiThreadedAugmenter(_Loader(source, first, workers), None, workers, num_cached_per_queue=2)
    loader._start()
    try:
        yield _received(loader)
    finally:
        _stop(loader)


def default_workers(device: torch.device) -> int:
    """Processes that load patches: one beside a CPU, which needs its cores itself; up to 8 beside a GPU.

    Reading a batch takes less time than a step, so that one or two would do: the rest is for slow disks and for
    transforms of batchgenerators.
    """
    return 1 if device.type == "cpu" else max(1, min(8, available_cores() // 2))


class _Loader(SlimDataLoaderBase):  # type: ignore[misc]
    """What runs in a worker: of `workers`, number k reads iterations first + k, first + k + workers, …"""

    def __init__(self, source: PatchSource, first: int, workers: int) -> None:
        super().__init__(None, source.stage.sampling.batch_size, workers)
        self.source = source
        self.next_iteration = first

    def set_thread_id(self, thread_id: int) -> None:
        """Called once in the worker, before it reads."""
        super().set_thread_id(thread_id)
        self.next_iteration += thread_id
        threading.Thread(target=end_with_parent, daemon=True).start()

    def generate_train_batch(self) -> dict[str, object]:
        """One batch, or the traceback of what went wrong; and the memory this process has resident."""
        iteration = self.next_iteration
        self.next_iteration += self.number_of_threads_in_multithreaded
        try:
            return {"samples": self.source.batch(iteration), "resident_bytes": resident_memory_bytes()}
        except AutosegError as problem:
            return {"problem": problem}
        except Exception:  # handed over to the main process, which raises it
            return {"failure": traceback.format_exc()}


def _in_process(source: PatchSource, first: int) -> Iterator[list[Sample]]:
    iteration = first
    while True:
        yield source.batch(iteration)
        iteration += 1


def _received(loader: MultiThreadedAugmenter) -> Iterator[list[Sample]]:
    # Not `next(loader)`: a process killed while it hands over a batch leaves half of it in the pipe, and
    # batchgenerators waits for the other half for ever.
    resident_bytes = [0] * len(loader._processes)
    for turn in itertools.cycle(range(len(loader._processes))):
        item = _next_item(loader, turn, resident_bytes)
        if "problem" in item:
            raise item["problem"]
        if "failure" in item:
            raise TrainingError(f"a process that loads training patches failed:\n{item['failure']}")
        resident_bytes[turn] = item["resident_bytes"]
        yield item["samples"]


def _next_item(loader: MultiThreadedAugmenter, turn: int, resident_bytes: Sequence[int]) -> dict[str, Any]:
    """What the process whose turn it is hands over, while all are alive and it does not take too long."""
    asked = time.monotonic()
    while True:
        try:
            item: dict[str, Any] = loader.pin_memory_queue.get(timeout=PATIENCE_SECONDS)
            return item
        except queue.Empty:
            for number, process in enumerate(loader._processes):
                if not process.is_alive():
                    raise TrainingError(_obituary(process.exitcode, resident_bytes[number])) from None
            if time.monotonic() - asked > LONGEST_WAIT_SECONDS:
                raise TrainingError(_missing(loader._processes[turn].pid, resident_bytes[turn])) from None


def _obituary(exit_code: int, resident_bytes: int) -> str:
    """What is said of a process that ended."""
    memory = f"it had {resident_bytes / GIGABYTE:.2f} GB resident when it last gave a batch" if resident_bytes else ""
    if exit_code == -signal.SIGKILL:
        told = f"was killed, most likely because memory ran out{memory and f' ({memory})'}"
    else:
        told = f"ended ({how_it_ended(exit_code)}{memory and f'; {memory}'})"
    return f"a process that loads training patches {told}. {AGAIN}, with fewer --workers."


def _missing(number: int, resident_bytes: int) -> str:
    """What is said of a process that lives, but gives no batch."""
    memory = f", with {resident_bytes / GIGABYTE:.2f} GB resident at the last one" if resident_bytes else ""
    return (
        f"process {number}, which loads training patches, has given no batch for {LONGEST_WAIT_SECONDS:.0f} s{memory}. "
        f"Was it stopped, or does its disk no longer answer? {AGAIN}."
    )


def _stop(loader: MultiThreadedAugmenter) -> None:
    """Ends the processes without emptying their pipes first, for the reason above; they hold nothing of worth."""
    loader.abort_event.set()
    loader.pin_memory_thread.join(PATIENCE_SECONDS)
    for process in loader._processes:
        process.kill()
    for process in loader._processes:
        process.join(END_SECONDS)
    loader._processes, loader.was_initialized = [], False  # so that its destructor does not empty them either
