"""The cases to predict into a folder: where their label maps go, and which are there already.

Comes in: cases, a folder, and what is recorded of it. Goes out: a `Job` a case; of those, the ones that are to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from autoseg.dataset import Case, must_have_channels, split_ending
from autoseg.errors import AutosegError
from autoseg.inference.record import describe_images, is_made, recorded_files
from autoseg.memory import is_lack_of_memory
from autoseg.progress import Step

Failures = dict[Path, str]  # label map → what went wrong

NO_MEMORY = "the memory ran out. Predict it alone, on a machine with more, or cut the image."


@dataclass(frozen=True)
class Job:
    """A case to predict.

    Attributes:
        case: the case.
        target: file of its label map.
        probabilities: whether they are written, too.
    """

    case: Case
    target: Path
    probabilities: bool

    @property
    def probabilities_file(self) -> Path:
        """The file of its probabilities."""
        return self.target.parent / f"{self.case.name}.npz"

    @property
    def files(self) -> list[Path]:
        """All that is made of it."""
        return [self.target, self.probabilities_file] if self.probabilities else [self.target]


def list_jobs(cases: Sequence[Case], output: Path, file_ending: str | None, probabilities: bool) -> list[Job]:
    """A job a case.

    Args:
        cases: their names become the names of the files.
        output: folder for the label maps.
        file_ending: of the label maps; None gives each the ending of its image.
        probabilities: whether they are written, too.

    Raises:
        AutosegError: the folder holds images to predict.
    """
    jobs = [Job(case, output / f"{case.name}{file_ending or _ending(case)}", probabilities) for case in cases]
    _spare_the_images(jobs)
    return jobs


def list_undone(jobs: Sequence[Job], channels: Sequence[str], step: Step, failures: Failures) -> list[Job]:
    """The jobs whose files are not there yet.

    Of the others `step` is told; what is wrong with one, such as other channels than these, goes to `failures`.
    """
    recorded = recorded_files(jobs[0].target.parent) if jobs else {}
    undone = []
    for job in jobs:
        with noted(job, failures):
            must_have_channels(job.case, channels)
            if not is_made(job.files, describe_images(job.case.images), recorded):
                undone.append(job)
                continue
        step(1, job.case.name)
    return undone


@contextmanager
def noted(job: Job, failures: Failures) -> Iterator[None]:
    """Inside, what is wrong with a case is noted and stops nothing."""
    try:
        yield
    except AutosegError as problem:
        failures[job.target] = str(problem)
    except (MemoryError, RuntimeError) as problem:
        if not is_lack_of_memory(problem):
            raise
        failures[job.target] = NO_MEMORY


def _spare_the_images(jobs: Sequence[Job]) -> None:
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


def _ending(case: Case) -> str:
    return split_ending(case.images[0].name)[1]
