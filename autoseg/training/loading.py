"""Reading training patches in background processes.

Comes in: prepared cases and a stage. Goes out: an endless sequence of batches of samples. What a
batch holds depends on the seed and the iteration's number alone, so a resumed run sees the batches
it would have seen, whatever the number of processes.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from batchgenerators.dataloading.data_loader import SlimDataLoaderBase
from batchgenerators.dataloading.multi_threaded_augmenter import MultiThreadedAugmenter
from numpy.typing import NDArray

from autoseg.errors import AutosegError, TrainingError
from autoseg.parallel import available_cores
from autoseg.plan import Stage
from autoseg.plan.augmentation import Spatial
from autoseg.preprocessing import Locations, PreparedCase
from autoseg.preprocessing.patches import read_patch
from autoseg.training.augmentation import Sample, draw_affine, source_extent
from autoseg.training.patches import draw_by_label, draw_start, holders, is_foreground_sample

TRAINING, VALIDATION = 0, 1  # streams of random numbers that never meet
PATIENCE_SECONDS = 1.0  # between two looks at whether the workers are alive, while no batch comes


@dataclass(frozen=True)
class PatchSource:
    """Draws the samples of any iteration.

    Attributes:
        cases: to draw from, each as likely as the other where the plan does not draw by label.
        stage: patch and batch size, share of foreground and how it is drawn, spatial augmentation.
        stream: TRAINING draws augmented patches, VALIDATION plain ones.

    Raises:
        WorkspaceError: foreground is drawn by label, and the record of a case cannot be read.
    """

    cases: Sequence[PreparedCase]
    stage: Stage
    stream: int
    _locations: dict[str, Locations] = field(default_factory=dict, repr=False)
    _holders: dict[int, NDArray[np.int64]] = field(default_factory=dict, repr=False)  # empty where drawn by case

    def __post_init__(self) -> None:
        sampling = self.stage.sampling
        # Here and not in a worker: the records are read once, and travel with the source.
        if sampling.foreground == "by_label" and sampling.foreground_fraction > 0:
            self._holders.update(holders([case.record.located for case in self.cases]))

    def batch(self, iteration: int) -> list[Sample]:
        """The samples of an iteration."""
        size = self.stage.sampling.batch_size
        return [self._sample(self.generator(iteration, place, 0), place) for place in range(size)]

    def generator(self, iteration: int, place: int, purpose: int) -> np.random.Generator:
        """The random numbers of one sample: purpose 0 draws the patch, 1 the augmentation of its intensities."""
        return np.random.default_rng([self.stage.training.seed, self.stream, iteration, place, purpose])

    def generators(self, iteration: int) -> list[np.random.Generator]:
        """One generator a sample, for the augmentation of intensities."""
        return [self.generator(iteration, place, 1) for place in range(self.stage.sampling.batch_size)]

    def _sample(self, generator: np.random.Generator, place: int) -> Sample:
        sampling, thin = self.stage.sampling, (1,) * (3 - self.stage.dimensions)  # a 2-D patch is one slice thick
        case, foreground, target = self._draw_case(generator, place)
        image, labels = case.image(), case.labels()
        patch = (*thin, *sampling.patch_size)
        start = draw_start(image.shape[1:], patch, self._case_locations(case), foreground, generator, target)
        matrix = self._affine(generator)
        extent = patch if matrix is None else (*thin, *source_extent(matrix, sampling.patch_size))
        middle = np.add(start, np.subtract(patch, 1) / 2)
        begin = np.floor(middle - np.subtract(extent, 1) / 2).astype(int)
        pixels = read_patch(image, _three(begin), _three(extent), 0)
        classes = read_patch(labels, _three(begin), _three(extent), 0)[0]
        if thin:
            pixels, classes = pixels[:, 0], classes[0]
        return Sample(pixels, classes, matrix, tuple((middle - begin)[len(thin) :].tolist()))

    def _draw_case(self, generator: np.random.Generator, place: int) -> tuple[PreparedCase, bool, int | None]:
        """The case, whether its patch is centred on foreground, and on which target if that is drawn already."""
        size, fraction = self.stage.sampling.batch_size, self.stage.sampling.foreground_fraction
        if not self._holders:
            case = self.cases[int(generator.integers(len(self.cases)))]
            return case, is_foreground_sample(place, size, fraction, generator), None
        if is_foreground_sample(place, size, fraction, generator):
            target, number = draw_by_label(self._holders, generator)
            return self.cases[number], True, target
        return self.cases[int(generator.integers(len(self.cases)))], False, None

    def _affine(self, generator: np.random.Generator) -> NDArray[np.float64] | None:
        if self.stream == VALIDATION:
            return None
        spatial = [transform for transform in self.stage.augmentation if isinstance(transform, Spatial)]
        return draw_affine(spatial[0], self.stage.dimensions, generator) if spatial else None

    def _case_locations(self, case: PreparedCase) -> Locations:
        if case.name not in self._locations:
            self._locations[case.name] = case.locations()
        return self._locations[case.name]


@contextmanager
def load_batches(source: PatchSource, first: int, workers: int) -> Iterator[Iterator[list[Sample]]]:
    """Batches from iteration `first` on, read ahead by background processes.

    Args:
        source: of the samples.
        first: number of the first iteration.
        workers: processes; 0 reads in this one.

    Raises:
        TrainingError: while iterating, a process failed (with its traceback) or was killed.
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
    """Processes that load patches: one beside a CPU, which needs its cores itself; up to 8 beside a GPU."""
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
        threading.Thread(target=_end_with_parent, daemon=True).start()

    def generate_train_batch(self) -> dict[str, object]:
        """One batch, or the traceback of what went wrong."""
        iteration = self.next_iteration
        self.next_iteration += self.number_of_threads_in_multithreaded
        try:
            return {"samples": self.source.batch(iteration)}
        except AutosegError as problem:
            return {"problem": problem}
        except Exception:  # handed over to the main process, which raises it
            return {"failure": traceback.format_exc()}


def _three(numbers: Sequence[int] | NDArray[np.int64]) -> tuple[int, int, int]:
    z, y, x = (int(number) for number in numbers)
    return z, y, x


def _in_process(source: PatchSource, first: int) -> Iterator[list[Sample]]:
    iteration = first
    while True:
        yield source.batch(iteration)
        iteration += 1


def _received(loader: MultiThreadedAugmenter) -> Iterator[list[Sample]]:
    # Not `next(loader)`: a process killed while it hands over a batch leaves half of it in the pipe, and
    # batchgenerators waits for the other half for ever.
    while True:
        try:
            item = loader.pin_memory_queue.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            if all(process.is_alive() for process in loader._processes):
                continue
            raise TrainingError(
                "a process that loads training patches was killed, most likely because memory ran out. "
                "Run the same command again to continue from the last checkpoint, with fewer --workers."
            ) from None
        if "problem" in item:
            raise item["problem"]
        if "failure" in item:
            raise TrainingError(f"a process that loads training patches failed:\n{item['failure']}")
        yield item["samples"]


def _stop(loader: MultiThreadedAugmenter) -> None:
    """Ends the processes without emptying their pipes first, for the reason above; they hold nothing of worth."""
    loader.abort_event.set()
    loader.pin_memory_thread.join(PATIENCE_SECONDS)
    for process in loader._processes:
        process.kill()
        process.join()
    loader._processes, loader.was_initialized = [], False  # so that its destructor does not empty them either


def _end_with_parent() -> None:
    """Runs beside the worker: a training that is killed leaves no worker behind."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
