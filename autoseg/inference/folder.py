"""Predicting many cases into a folder.

Comes in: a predictor or several, and cases. Goes out: NAME.nii.gz a case, and `predictions.json`, the record of
what was made from what. What was made from the same images before is kept; no other file is overwritten.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from autoseg.alone import alone_in
from autoseg.dataset import Case, read_image, write_label_map
from autoseg.files import atomic_path
from autoseg.inference.jobs import Failures, Job, list_jobs, list_undone, noted
from autoseg.inference.memory import Way
from autoseg.inference.model import describe_machine
from autoseg.inference.predictor import Prediction, Predictor
from autoseg.inference.record import ImageFile, Record, claim_folder, describe_images, must_be_by, record_files
from autoseg.inference.team import Seen, Team
from autoseg.inference.way import choose_way
from autoseg.progress import Progress, Step, silent

BUSY = "another process predicts into this folder"
WAIT = "Wait for it, or give another output folder."

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
    team: Team | Predictor,
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
        team: the models and the postprocessing; or one model alone, without any.
        cases: their names become the names of the files.
        output: folder for the label maps. Predictions of the same images that are there are kept;
            a case whose file is there and is anything else fails.
        probabilities: write NAME.npz too: "probabilities", (outputs, z, y, x), float32; as they were before any rule.
        file_ending: of the label maps; None gives each the ending of its image.
        progress: told of every finished share of a case.
        max_memory_gb: that this process may take; None takes what the machine has to spare.

    Raises:
        AutosegError: the folder holds predictions of another model or images to predict, another process fills it,
            or the largest image needs more memory than it may take.
    """
    team = Team((team,)) if isinstance(team, Predictor) else team
    jobs = list_jobs(cases, output, file_ending, probabilities)
    record = _record(team)
    must_be_by(output, record)
    failures: Failures = {}
    with progress(f"predicting by {team.stages}", len(cases)) as step:
        undone = list_undone(jobs, team.channels, step, failures)
        way = choose_way(team, undone, max_memory_gb)
        with alone_in(output, BUSY, WAIT) if undone else nullcontext():
            claim_folder(output, record)
            _predict(team, undone, way, step, failures)
    made = sum(job.target not in failures for job in undone)
    return Outcome(
        made,
        len(jobs) - made - len(failures),
        [f"case '{job.case.name}': {failures[job.target]}" for job in jobs if job.target in failures],
    )


def _predict(team: Team, jobs: Sequence[Job], way: Way, step: Step, failures: Failures) -> None:
    """Predicts images; one thread reads the next, one writes the last label map."""
    writing: Future[None] | None = None
    with ThreadPoolExecutor(1, initializer=_one_thread) as reader, ThreadPoolExecutor(1) as writer:
        for job, reading in _ahead(reader, partial(_read, team), jobs, way.read_ahead):
            folder = job.target.parent
            with _shared(step, job.case.name) as share, ExitStack() as files:
                disk = folder if way.sums_on_disk else None
                with noted(job, failures):
                    sources, prediction = _predict_one(team, job, reading.result(), disk, share, files)
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
    team: Team, job: Job, read: _Read, disk: Path | None, share: Step, files: ExitStack
) -> tuple[tuple[ImageFile, ...], Prediction]:
    """A function of its own, which keeps no image when it is done."""
    found = team.predict(job.case, read.seen, job.probabilities, job.target.parent, disk, share, files)
    return read.sources, found


def _ahead(
    pool: ThreadPoolExecutor, function: Callable[[Job], Found], jobs: Sequence[Job], ahead: bool
) -> Iterator[tuple[Job, Future[Found]]]:
    """Each job, and what the function will have made of it; while one is used, the next is under way."""
    coming: deque[tuple[Job, Future[Found]]] = deque()
    for job in jobs:
        coming.append((job, pool.submit(function, job)))
        if len(coming) > ahead:
            yield coming.popleft()
    yield from coming


class _Read(NamedTuple):
    """What the image's files were just before they were read, and the image."""

    sources: tuple[ImageFile, ...]
    seen: Seen


def _read(team: Team, job: Job) -> _Read:
    sources, image = describe_images(job.case.images), read_image(*job.case.images)
    return _Read(sources, team.prepare(image))


def _write(job: Job, sources: tuple[ImageFile, ...], prediction: Prediction, failures: Failures) -> None:
    with noted(job, failures):
        record_files(job.files, sources)
        if prediction.probabilities is not None:
            with atomic_path(job.probabilities_file, suffix=".npz") as temporary:
                np.savez_compressed(temporary, probabilities=prediction.probabilities)
        write_label_map(job.target, prediction.label_map, prediction.grid)


def _one_thread() -> None:
    """One computing thread: the others are the networks'."""
    torch.set_num_threads(1)


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


def _record(team: Team) -> Record:
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
