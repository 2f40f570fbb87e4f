"""Reading training patches in background processes.

Comes in: prepared cases and a stage. Goes out: an endless sequence of batches of samples. What a
batch holds depends on the seed and the iteration's number alone, so a resumed run sees the batches
it would have seen, whatever the number of processes.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import queue
import signal
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from batchgenerators.dataloading.data_loader import SlimDataLoaderBase
from batchgenerators.dataloading.multi_threaded_augmenter import MultiThreadedAugmenter
from numpy.typing import NDArray

from autoseg.dataset import Labels
from autoseg.errors import AutosegError, TrainingError
from autoseg.memory import resident_memory_bytes
from autoseg.parallel import available_cores
from autoseg.plan import Stage
from autoseg.plan.augmentation import Batchgenerators, Copies, Spatial, Transform
from autoseg.preprocessing import Locations, PreparedCase
from autoseg.preprocessing.patches import read_patch
from autoseg.preprocessing.previous import one_hot
from autoseg.training.augmentation import Sample, draw_affine, source_extent, transforms_of, vary_loaded
from autoseg.training.patches import draw_by_label, draw_in_slice, draw_start, holders, is_foreground_sample
from autoseg.training.windows import Windows, find_windows

TRAINING, VALIDATION = 0, 1  # streams of random numbers that never meet
PATCH, INTENSITIES, LOADED, WAYS = 0, 1, 2, 3  # what a sample's random numbers are for
PATIENCE_SECONDS = 1.0  # between two looks at whether the workers are alive, while no batch comes
LONGEST_WAIT_SECONDS = 600.0  # for a batch, while they are
END_SECONDS = 10.0  # for a killed process to end; one that waits for a dead disk does so later
AGAIN = "Run the same command again to continue from the last checkpoint"


@dataclass(frozen=True)
class PatchSource:
    """Draws the samples of any iteration.

    Attributes:
        cases: to draw from, each as likely as the other where the plan does not draw by label.
        stage: patch and batch size, share of foreground and how it is drawn, spatial augmentation.
        stream: TRAINING draws augmented patches, VALIDATION plain ones.
        process: number of the process, of those that train together;
        processes: how many they are. Each has every so-manyth sample of a batch.
        previous: classes a previous stage predicts, that follow the image's channels, one-hot.
        labels: of the dataset; needed where patches are windows of a grid.

    Raises:
        WorkspaceError: foreground is drawn by label, and the record of a case cannot be read.
    """

    cases: Sequence[PreparedCase]
    stage: Stage
    stream: int
    process: int = 0
    processes: int = 1
    previous: int = 0
    labels: Labels | None = None
    _windows: dict[str, Windows] = field(default_factory=dict, repr=False)
    _locations: dict[str, Locations] = field(default_factory=dict, repr=False)
    _holders: dict[int, NDArray[np.int64]] = field(default_factory=dict, repr=False)  # empty where drawn by case

    def __post_init__(self) -> None:
        sampling = self.stage.sampling
        # Here and not in a worker: the records are read once, and travel with the source.
        if sampling.foreground == "by_label" and sampling.foreground_fraction > 0:
            self._holders.update(holders([case.record.located for case in self.cases]))

    def batch(self, iteration: int) -> list[Sample]:
        """The samples of an iteration that are this process's."""
        return [self._sample(iteration, place) for place in self.places]

    @property
    def places(self) -> range:
        """Of this process's samples in a batch."""
        return range(self.process, self.stage.sampling.batch_size, self.processes)

    def generator(self, iteration: int, place: int, purpose: int) -> np.random.Generator:
        """The random numbers of one sample, for a purpose: one of the names below the streams."""
        return np.random.default_rng([self.stage.training.seed, self.stream, iteration, place, purpose])

    def generators(self, iteration: int) -> list[np.random.Generator]:
        """One generator a sample, for the augmentation of intensities."""
        return [self.generator(iteration, place, INTENSITIES) for place in self.places]

    def _sample(self, iteration: int, place: int) -> Sample:
        members = self._members()  # of the batch, that show the same patch
        group, member = divmod(place, members)
        generator = self.generator(iteration, group * members, PATCH)
        sampling, thin = self.stage.sampling, (1,) * (3 - self.stage.dimensions)  # a 2-D patch is one slice thick
        case, foreground, target = self._draw_case(generator, group, sampling.batch_size // members)
        image, labels = case.image(), case.labels()
        patch = (*thin, *sampling.patch_size)
        start = self._draw_start(case, image.shape[1:], patch, foreground, generator, target)
        way = self._draw_way(iteration, group * members, member)
        transforms = self._transforms(way)
        matrix = self._affine(transforms, generator if member == 0 else self.generator(iteration, place, PATCH))
        extent = patch if matrix is None else (*thin, *source_extent(matrix, sampling.patch_size))
        middle = np.add(start, np.subtract(patch, 1) / 2)
        begin = np.floor(middle - np.subtract(extent, 1) / 2).astype(int)
        pixels = read_patch(image, _three(begin), _three(extent), 0)
        classes = read_patch(labels, _three(begin), _three(extent), 0)[0]
        if self.previous:
            predicted = read_patch(case.previous(), _three(begin), _three(extent), 0)[0]
            pixels = np.concatenate((pixels, one_hot(predicted, self.previous)))
        if thin:
            pixels, classes = pixels[:, 0], classes[0]
        loaded = [transform for transform in transforms if isinstance(transform, Batchgenerators)]
        if loaded:
            pixels, classes = vary_loaded(
                pixels, classes, loaded, self.generator(iteration, place, LOADED), self.previous
            )
        return Sample(pixels, classes, matrix, tuple((middle - begin)[len(thin) :].tolist()), self.previous, way)

    def _draw_start(
        self,
        case: PreparedCase,
        shape: Sequence[int],
        patch: Sequence[int],
        foreground: bool,
        generator: np.random.Generator,
        target: int | None,
    ) -> tuple[int, ...]:
        if self.stage.sampling.grid is not None:
            return self._case_windows(case, patch).draw(generator)
        locations = self._case_locations(case)
        if foreground and self.stage.sampling.foreground == "by_slice":
            return draw_in_slice(shape, patch, locations, generator)
        return draw_start(shape, patch, locations, foreground, generator, target)

    def _draw_case(
        self, generator: np.random.Generator, place: int, size: int
    ) -> tuple[PreparedCase, bool, int | None]:
        """The case, whether its patch is centred on foreground, and on which target if that is drawn already."""
        fraction = self.stage.sampling.foreground_fraction
        if not self._holders:
            case = self.cases[int(generator.integers(len(self.cases)))]
            return case, is_foreground_sample(place, size, fraction, generator), None
        if is_foreground_sample(place, size, fraction, generator):
            target, number = draw_by_label(self._holders, generator)
            return self.cases[number], True, target
        return self.cases[int(generator.integers(len(self.cases)))], False, None

    def _members(self) -> int:
        """How many samples of a batch show the same patch: it and its `Copies`."""
        first = self.stage.augmentation[:1]
        return 1 + first[0].count if self.stream == TRAINING and first and isinstance(first[0], Copies) else 1

    def _draw_way(self, iteration: int, leader: int, member: int) -> int | None:
        """Which way a copy is varied in; the copies of a patch share one order of the ways."""
        if member == 0:
            return None
        copies = self.stage.augmentation[0]
        assert isinstance(copies, Copies)
        return int(self.generator(iteration, leader, WAYS).permutation(len(copies.ways))[member - 1])

    def _transforms(self, way: int | None) -> Sequence[Transform]:
        return () if self.stream == VALIDATION else transforms_of(self.stage.augmentation, way)

    def _affine(self, transforms: Sequence[Transform], generator: np.random.Generator) -> NDArray[np.float64] | None:
        spatial = [transform for transform in transforms if isinstance(transform, Spatial)]
        return draw_affine(spatial[0], self.stage.dimensions, generator) if spatial else None

    def _case_windows(self, case: PreparedCase, patch: Sequence[int]) -> Windows:
        """Its label map is read whole, once."""
        if case.name not in self._windows:
            grid, labels = self.stage.sampling.grid, self.labels
            assert grid is not None and labels is not None
            class_map = case.labels()[:][0]
            self._windows[case.name] = find_windows(class_map, patch, grid, labels.target_classes)
        return self._windows[case.name]

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

    A process takes some 50 ms for a batch of two 128³ patches; a step takes 100 ms and more on a GPU, seconds on a CPU.
    One or two would do, then: the rest is for slow disks and for transforms of batchgenerators.
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
        threading.Thread(target=_end_with_parent, daemon=True).start()

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
    memory = f"it had {resident_bytes / 1e9:.2f} GB resident when it last gave a batch" if resident_bytes else ""
    if exit_code == -signal.SIGKILL:
        told = f"was killed, most likely because memory ran out{memory and f' ({memory})'}"
    elif exit_code < 0:
        told = f"ended with {signal.Signals(-exit_code).name}{memory and f'; {memory}'}"
    else:
        told = f"ended with exit code {exit_code}{memory and f'; {memory}'}"
    return f"a process that loads training patches {told}. {AGAIN}, with fewer --workers."


def _missing(number: int, resident_bytes: int) -> str:
    """What is said of a process that lives, but gives no batch."""
    memory = f", with {resident_bytes / 1e9:.2f} GB resident at the last one" if resident_bytes else ""
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


def _end_with_parent() -> None:
    """Runs beside the worker: a training that is killed leaves no worker behind."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
