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
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoseg.alone import alone_in
from autoseg.dataset import Case, Image, Labels, read_image, split_ending, write_label_map
from autoseg.dataset.absurd import absurd_sizes
from autoseg.dataset.images import read_grid
from autoseg.errors import AutosegError, DatasetError, ModelError
from autoseg.files import atomic_path
from autoseg.geometry import Grid
from autoseg.inference.averaging import mean_label_map
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
    must_be_by,
    record_files,
    recorded_files,
)
from autoseg.memory import available_memory_bytes, resident_memory_bytes
from autoseg.plan.postprocessing import Rule, needs_probabilities
from autoseg.planner.decided import by
from autoseg.postprocessing import apply
from autoseg.postprocessing.apply import must_fit
from autoseg.preprocessing import Placement, place
from autoseg.progress import Progress, Step, scaled, silent

logger = logging.getLogger(__name__)

GIGABYTE = 1e9
BUSY = "another process predicts into this folder"
WAIT = "Wait for it, or give another output folder."

Found = TypeVar("Found")
_Seen = Image | tuple[Tensor, Placement]  # as the file has it, or as a network does


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
    predictor: Predictor | Sequence[Predictor],
    cases: Sequence[Case],
    output: Path,
    probabilities: bool = False,
    file_ending: str | None = None,
    progress: Progress = silent,
    max_memory_gb: float | None = None,
    rules: Sequence[Rule] = (),
) -> Outcome:
    """Predicts cases one after another; a bad one does not stop the others.

    While one is predicted, the next is read and prepared, and the one before is written, if the memory allows that.

    Args:
        predictor: the model; or several, whose mean probability on the image's own grid decides.
        cases: their names become the names of the files.
        output: folder for the label maps. Predictions of the same images that are there are kept;
            a case whose file is there and is anything else fails.
        probabilities: write NAME.npz too: "probabilities", (outputs, z, y, x), float32; as they were before any rule.
        file_ending: of the label maps; None gives each the ending of its image.
        progress: told of every finished share of a case.
        max_memory_gb: that this process may take; None takes what the machine has to spare.
        rules: postprocessing of the label maps.

    Raises:
        AutosegError: the folder holds predictions of another model or images to predict, another process fills it,
            or the largest image needs more memory than it may take; models do not belong together, or a rule is for
            something they do not predict.
    """
    jobs = [_Job(case, output / f"{case.name}{file_ending or _ending(case)}", probabilities) for case in cases]
    team = _Team((predictor,) if isinstance(predictor, Predictor) else tuple(predictor), tuple(rules))
    _spare_the_images(jobs)
    record = _record(team)
    must_be_by(output, record)
    failures: dict[Path, str] = {}
    with progress(f"predicting by {team.stages}", len(cases)) as step:
        undone = _undone(jobs, step, failures)
        way = _find_way(team, undone, max_memory_gb)
        with alone_in(output, BUSY, WAIT) if undone else nullcontext():
            claim_folder(output, record)
            _predict(team, undone, way, step, failures)
    made = sum(job.target not in failures for job in undone)
    return Outcome(
        made,
        len(jobs) - made - len(failures),
        [f"case '{job.case.name}': {failures[job.target]}" for job in jobs if job.target in failures],
    )


@dataclass(frozen=True)
class _Team:
    """Those who predict, and the rules for what they have predicted."""

    members: tuple[Predictor, ...]
    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        """Refuses members that see other channels or mean other labels, and rules for others.

        Raises:
            ModelError: they do.
            PlanError: a rule is for something they do not predict.
        """
        seen = {
            (one.model.plan.dataset.channels, one.model.plan.dataset.labels.model_dump_json()) for one in self.members
        }
        if len(seen) > 1:
            raise ModelError(f"{self.stages}: trained on other channels or labels. Average models of one dataset.")
        must_fit(self.rules, self.labels)

    @property
    def stages(self) -> str:
        """What the members are called."""
        return " + ".join(one.model.stage for one in self.members)

    @property
    def labels(self) -> Labels:
        """What the values of a prediction mean."""
        return self.members[0].model.plan.dataset.labels


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
    recorded = recorded_files(jobs[0].target.parent) if jobs else {}
    undone = []
    for job in jobs:
        with _noted(job, failures):
            if not is_made(job.files, describe_sources(job.case.images), recorded):
                undone.append(job)
                continue
        step(1, job.case.name)
    return undone


def _find_way(team: _Team, jobs: Sequence[_Job], max_memory_gb: float | None) -> Way:
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
    if absurd := absurd_sizes({name: grid.spacing_mm for name, grid in sizes.items()}):
        logger.warning("warning: %s", absurd)
    largest = max(sizes, key=lambda name: math.prod(sizes[name].shape))
    grid, limit = sizes[largest], used + available_memory_bytes() if max_memory_gb is None else max_memory_gb * GIGABYTE
    way = _way_for_all(team, grid, used, limit, several=len(jobs) > 1)
    what = f"{way.host_bytes / GIGABYTE:.1f} GB of memory at the peak ('{largest}', {by(grid.shape)} voxels)"
    if way.host_bytes > limit and max_memory_gb is not None:
        enough = math.ceil(way.host_bytes / GIGABYTE * 10) / 10
        cut = ", or cut the image to the part that matters" if way.host_bytes - used > used else ""
        raise AutosegError(
            f"--max-memory {max_memory_gb:g}: predicting takes {what} at least, {used / GIGABYTE:.1f} GB of them for "
            f"the program and the model. Allow it that much (--max-memory {enough:g}){cut}."
        )
    if way.host_bytes > limit:
        logger.warning("predicting is expected to take %s, and %.1f GB are free", what, limit / GIGABYTE)
    else:
        logger.info("predicting is expected to take %s", what)
    return way


def _way_for_all(team: _Team, grid: Grid, used: int, limit: float, several: bool) -> Way:
    """How all stages of all members keep below the limit, one after the other.

    While the stages before a member's own predict, the image is kept as its file has it; while other members do, as
    the first one sees it.
    """
    ways = []
    for member in team.members:
        for one in member.chain:
            dataset, prepared = one.model.plan.dataset, place(grid, one.stage.preprocessing).shape
            kept = 0 if one is member else FLOAT * len(dataset.channels) * math.prod(grid.shape)
            ways.append(find_way(one.stage, dataset, grid.shape, prepared, one.device, used + kept, limit, several))
        if member is team.members[0] and len(team.members) > 1:
            used += FLOAT * len(dataset.channels) * math.prod(prepared)
    return Way(
        read_ahead=all(way.read_ahead for way in ways),
        sums_on_disk=any(way.sums_on_disk for way in ways),
        host_bytes=max(way.host_bytes for way in ways),
    )


def _predict(team: _Team, jobs: Sequence[_Job], way: Way, step: Step, failures: dict[Path, str]) -> None:
    """Predicts images; one thread reads the next, one writes the last label map."""
    writing: Future[None] | None = None
    with ThreadPoolExecutor(1, initializer=_one_thread) as reader, ThreadPoolExecutor(1) as writer:
        for job, reading in _ahead(reader, partial(_read, team.members[0]), jobs, way.read_ahead):
            with _shared(step, job.case.name) as share, ExitStack() as files:
                disk = job.target.parent if way.sums_on_disk else None
                with _noted(job, failures):
                    sources, prediction = _predict_one(team, job, reading.result(), share, disk, files)
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
    team: _Team, job: _Job, read: _Read, share: Step, disk: Path | None, files: ExitStack
) -> tuple[tuple[Source, ...], Prediction]:
    """Probabilities, if they are wanted, go into a file, for they may be larger than the memory."""
    wanted = job.probabilities or needs_probabilities(team.rules)
    shape = (team.labels.outputs, *_native_shape(read.seen))
    shares = files.enter_context(mapped_array(job.target.parent, shape)) if wanted else None
    if len(team.members) == 1:
        found = _predict_by(team.members[0], job, read.seen, False if shares is None else shares, share, disk)
    else:
        found = _predict_mean(team, job, read.seen, share, disk, shares)
    label_map = apply(team.rules, found.label_map, found.grid.spacing_mm, team.labels, found.probabilities)
    return read.sources, Prediction(label_map, found.grid, found.probabilities if job.probabilities else None)


def _predict_by(
    member: Predictor, job: _Job, seen: _Seen, shares: bool | NDArray[Any], share: Step | None, disk: Path | None
) -> Prediction:
    """What one member says, the stages that it builds on first."""
    array, placement = member.prepare(seen, share, disk, job.case.name) if isinstance(seen, Image) else seen
    return member.predict_prepared(array, placement, shares, scaled(share, 1 / len(member.chain)), disk)


def _predict_mean(
    team: _Team, job: _Job, seen: _Seen, share: Step, disk: Path | None, mean: NDArray[np.float32] | None
) -> Prediction:
    """What the members say goes into files, on the image's own grid, and is averaged there."""
    shape, folder = (team.labels.outputs, *_native_shape(seen)), job.target.parent
    part = scaled(share, 1 / len(team.members))
    with ExitStack() as files:
        said = [files.enter_context(mapped_array(folder, shape, np.float16)) for _ in team.members]
        for number, (member, shares) in enumerate(zip(team.members, said, strict=True)):
            image = seen if number == 0 else read_image(*job.case.images)
            grid = _predict_by(member, job, image, shares, part, disk).grid
        return Prediction(mean_label_map(said, team.labels, mean), grid, mean)


def _native_shape(seen: _Seen) -> tuple[int, int, int]:
    """Voxels of the image in its file, (z, y, x)."""
    return seen.grid.shape if isinstance(seen, Image) else seen[1].native_shape


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
    seen: _Seen


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
    folders = {path.parent for path in images}
    for job in jobs:
        if job.target.resolve() in images:
            raise AutosegError(
                f"{job.target}: one of the images to predict, and its label map would get the same name. "
                "Give another output folder."
            )
    for job in jobs:
        if job.target.parent.resolve() in folders:
            raise AutosegError(
                f"{job.target.parent}: holds images to predict, and label maps among them would be taken for images "
                "the next time. Give another output folder."
            )


def _record(team: _Team) -> Record:
    first = team.members[0]
    return Record(
        plan=first.model.plan.name,
        stage=team.stages,
        folds=sum(len(one.networks) for one in team.members),
        trained=", ".join(one.model.machine.get("date", "") for member in team.members for one in member.chain),
        mirrored=first.mirror,
        labels=team.labels,
        postprocessing=team.rules,
        machine=describe_machine(first.device),
    )


def _ending(case: Case) -> str:
    return split_ending(case.images[0].name)[1]
