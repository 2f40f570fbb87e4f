"""Predicting many cases into a folder.

Comes in: a predictor and cases. Goes out: NAME.nii.gz a case, and `predictions.json`, the record of
what was made from what. What was made from the same images before is kept; no other file is overwritten.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoseg.dataset import Case, Image, read_image, split_ending, write_label_map
from autoseg.dataset.images import read_grid
from autoseg.errors import AutosegError, DatasetError
from autoseg.files import atomic_path
from autoseg.geometry import Grid
from autoseg.inference.mapped import mapped_array
from autoseg.inference.memory import FLOAT, Way, find_way
from autoseg.inference.model import describe_machine
from autoseg.inference.predictor import Prediction, Predictor
from autoseg.inference.record import (
    Record,
    Source,
    claim_folder,
    describe_sources,
    is_made,
    read_record,
    record_files,
)
from autoseg.memory import available_memory_bytes, resident_memory_bytes
from autoseg.planner.decided import by
from autoseg.preprocessing import Placement, place
from autoseg.progress import Progress, Step, scaled, silent

logger = logging.getLogger(__name__)

GIGABYTE = 1e9

Found = TypeVar("Found")


class Outcome(NamedTuple):
    """What became of the cases.

    Attributes:
        predicted: how many were predicted now.
        kept: how many were there already.
        failures: one message a case that failed.
    """

    predicted: int
    kept: int
    failures: list[str]


def predict_cases(
    predictor: Predictor,
    cases: Sequence[Case],
    output: Path,
    probabilities: bool = False,
    file_ending: str | None = None,
    progress: Progress = silent,
    max_memory_gb: float | None = None,
) -> Outcome:
    """Predicts cases one after another; a bad one does not stop the others.

    While one is predicted, the next is read and prepared, and the one before is written, if the memory allows that.

    Args:
        predictor: the model.
        cases: their names become the names of the files.
        output: folder for the label maps. Predictions of the same images that are there are kept;
            a case whose file is there and is anything else fails.
        probabilities: write NAME.npz too: "probabilities", (outputs, z, y, x), float32.
        file_ending: of the label maps; None gives each the ending of its image.
        progress: told of every finished share of a case.
        max_memory_gb: that this process may take; None takes what the machine has to spare.

    Raises:
        AutosegError: the folder holds predictions of another model, a label map would take the
            place of one of the images, or the largest image needs more memory than it may take.
    """
    jobs = [_Job(case, output / f"{case.name}{file_ending or _ending(case)}", probabilities) for case in cases]
    _spare_the_images(jobs)
    output.mkdir(parents=True, exist_ok=True)
    claim_folder(output, _record(predictor))
    failures: dict[Path, str] = {}
    with progress(f"predicting by {predictor.model.stage}", len(cases)) as step:
        undone = _undone(jobs, step, failures)
        way = _find_way(predictor, undone, max_memory_gb)
        _predict(predictor, undone, way, step, failures)
    made = sum(job.target not in failures for job in undone)
    return Outcome(
        made,
        len(jobs) - made - len(failures),
        [f"case '{job.case.name}': {failures[job.target]}" for job in jobs if job.target in failures],
    )


@dataclass(frozen=True)
class _Job:
    """A case to predict, and where its label map goes."""

    case: Case
    target: Path
    probabilities: bool

    @property
    def shares(self) -> Path:
        """The file of its probabilities."""
        return self.target.parent / f"{self.case.name}.npz"

    @property
    def files(self) -> list[Path]:
        """All that is made of it."""
        return [self.target, self.shares] if self.probabilities else [self.target]


def _undone(jobs: Sequence[_Job], step: Step, failures: dict[Path, str]) -> list[_Job]:
    """What is not there yet; the rest is told to be done, or to have failed."""
    recorded = read_record(jobs[0].target.parent).files if jobs else {}
    undone = []
    for job in jobs:
        with _noted(job, failures):
            if not is_made(job.files, describe_sources(job.case.images), recorded):
                undone.append(job)
                continue
        step(1, job.case.name)
    return undone


def _find_way(predictor: Predictor, jobs: Sequence[_Job], max_memory_gb: float | None) -> Way:
    """How to predict, judged by the largest image; and tells what memory that takes.

    Raises:
        AutosegError: a limit was given, and it is too small.
    """
    sizes: dict[str, Grid] = {}
    for job in jobs:
        with suppress(DatasetError):  # it fails when its turn comes
            sizes[job.case.name] = read_grid(job.case.images[0])
    used = resident_memory_bytes()
    if not sizes:
        return Way(read_ahead=True, sums_on_disk=False, host_bytes=used)
    largest = max(sizes, key=lambda name: math.prod(sizes[name].shape))
    grid, limit = sizes[largest], used + available_memory_bytes() if max_memory_gb is None else max_memory_gb * GIGABYTE
    way = _one_for_all([_way_of(one, grid, used, limit, one is predictor) for one in predictor.chain])
    what = f"{way.host_bytes / GIGABYTE:.1f} GB of memory at the peak ('{largest}', {by(grid.shape)} voxels)"
    if way.host_bytes > limit and max_memory_gb is not None:
        raise AutosegError(
            f"--max-memory {max_memory_gb:g}: predicting takes {what} at least. Allow it more, or cut the image to the "
            "part that matters."
        )
    if way.host_bytes > limit:
        logger.warning("predicting is expected to take %s, and %.1f GB are free", what, limit / GIGABYTE)
    else:
        logger.info("predicting is expected to take %s", what)
    return way


def _way_of(predictor: Predictor, grid: Grid, used: int, limit: float, is_last: bool) -> Way:
    """How one stage predicts; while those before the last do, the image is kept as its file has it."""
    dataset, prepared = predictor.model.plan.dataset, place(grid, predictor.stage.preprocessing).shape
    kept = 0 if is_last else FLOAT * len(dataset.channels) * math.prod(grid.shape)
    return find_way(predictor.stage, dataset, grid.shape, prepared, predictor.device, used + kept, limit)


def _one_for_all(ways: Sequence[Way]) -> Way:
    """The way in which all stages of a cascade keep below the limit, and the memory of the one that takes most."""
    return Way(
        all(way.read_ahead for way in ways),
        any(way.sums_on_disk for way in ways),
        max(way.host_bytes for way in ways),
    )


def _predict(predictor: Predictor, jobs: Sequence[_Job], way: Way, step: Step, failures: dict[Path, str]) -> None:
    """Predicts images; one thread reads the next, one writes the last label map."""
    writing: Future[None] | None = None
    with ThreadPoolExecutor(1, initializer=_one_thread) as reader, ThreadPoolExecutor(1) as writer:
        for job, reading in _ahead(reader, partial(_read, predictor), jobs, way.read_ahead):
            with _shared(step, job.case.name) as share, ExitStack() as files:
                disk = job.target.parent if way.sums_on_disk else None
                with _noted(job, failures):
                    sources, prediction = _predict_one(predictor, job, reading.result(), share, disk, files)
                del reading  # and with it the image
                if job.target in failures:
                    continue
                if writing is not None:
                    writing.result()
                writing = writer.submit(_write, job, sources, prediction, failures)
                if job.probabilities:  # they go with their file
                    writing.result()
        if writing is not None:
            writing.result()


def _predict_one(
    predictor: Predictor, job: _Job, read: _Read, share: Step, disk: Path | None, files: ExitStack
) -> tuple[tuple[Source, ...], Prediction]:
    """Probabilities, if they are wanted, go into a file, for they may be larger than the memory."""
    shares: bool | NDArray[np.float32] = False
    seen = read.seen
    array, placement = predictor.prepare(seen, share, disk, job.case.name) if isinstance(seen, Image) else seen
    if job.probabilities:
        outputs = predictor.model.plan.dataset.labels.outputs
        shape = (outputs, *placement.native_shape)
        shares = files.enter_context(mapped_array(job.target.parent, shape))
    part = scaled(share, 1 / len(predictor.chain))
    return read.sources, predictor.predict_prepared(array, placement, shares, part, disk)


def _ahead(
    pool: ThreadPoolExecutor, function: Callable[[_Job], Found], jobs: Sequence[_Job], ahead: bool
) -> Iterator[tuple[_Job, Future[Found]]]:
    """Each job, and what the function will have made of it; while one is used, the next is under way."""
    coming: deque[tuple[_Job, Future[Found]]] = deque()
    for job in jobs:
        coming.append((job, pool.submit(function, job)))
        if len(coming) > ahead:
            yield coming.popleft()
    yield from coming


class _Read(NamedTuple):
    """What the image's files were just before they were read; the image as the networks see it, and where it lies.

    Where another stage predicts it first, it is as the file has it: only one image at a time is predicted.
    """

    sources: tuple[Source, ...]
    seen: Image | tuple[Tensor, Placement]


def _read(predictor: Predictor, job: _Job) -> _Read:
    sources, image = describe_sources(job.case.images), read_image(*job.case.images)
    return _Read(sources, image if predictor.previous is not None else predictor.prepare(image))


def _write(job: _Job, sources: tuple[Source, ...], prediction: Prediction, failures: dict[Path, str]) -> None:
    with _noted(job, failures):
        record_files(job.files, sources)
        if prediction.probabilities is not None:
            with atomic_path(job.shares, suffix=".npz") as temporary:
                np.savez_compressed(temporary, probabilities=prediction.probabilities)
        write_label_map(job.target, prediction.label_map, prediction.grid)


def _one_thread() -> None:
    """One computing thread: the others are the networks'."""
    torch.set_num_threads(1)


@contextmanager
def _noted(job: _Job, failures: dict[Path, str]) -> Iterator[None]:
    """Inside, what is wrong with a case is noted and stops nothing."""
    try:
        yield
    except AutosegError as problem:
        failures[job.target] = str(problem)
    except MemoryError:
        failures[job.target] = "the memory ran out. Predict it alone, on a machine with more, or cut the image."


@contextmanager
def _shared(step: Step, name: str) -> Iterator[Step]:
    """Passes shares of a case on; at its end they add up to one."""
    told = 0.0

    def share(done: float, note: str) -> None:
        del note
        nonlocal told
        told += done
        step(done, name)

    yield share
    step(1 - told, name)


def _spare_the_images(jobs: Sequence[_Job]) -> None:
    images = {path.resolve() for job in jobs for path in job.case.images}
    for job in jobs:
        if job.target.resolve() in images:
            raise AutosegError(
                f"{job.target}: one of the images to predict, and its label map would get the same name. "
                "Give another output folder."
            )


def _record(predictor: Predictor) -> Record:
    model = predictor.model
    return Record(
        plan=model.plan.name,
        stage=model.stage,
        folds=len(predictor.networks),
        trained=", ".join(one.model.machine.get("date", "") for one in predictor.chain),
        mirrored=predictor.mirror,
        labels=model.plan.dataset.labels,
        machine=describe_machine(predictor.device),
    )


def _ending(case: Case) -> str:
    return split_ending(case.images[0].name)[1]
