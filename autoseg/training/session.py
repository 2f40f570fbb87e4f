"""One process's part of a training, from its start to its end or a kill.

Comes in: a job and the state it is in. Goes out: a `Session`, which draws its patches, keeps its time and saves it.
"""

from __future__ import annotations

import time

from autoseg.networks.fake import previous_channels
from autoseg.progress import Step
from autoseg.training import processes
from autoseg.training.checkpoint import write_checkpoint
from autoseg.training.interruption import Asked, Interruption
from autoseg.training.job import Job
from autoseg.training.log import Log
from autoseg.training.memory import training_bytes
from autoseg.training.patch_source import TRAINING, VALIDATION, PatchSource
from autoseg.training.run import Run, as_checkpoint


class Session:
    """What belongs to this process's part of a training and is not saved.

    Attributes:
        job, run: the training, and how far it is.
        heard: whether somebody asked this process to stop.
        stopping: whether somebody had asked any process when they last agreed on it; all have the same answer.
        step: told of every share of the training that is done.
        patches, checks: where training and validation patches come from.
        log: in the first process.
        predicted: bytes of a step, in a training that begins; None where several processes share its batch.
        saved: when, by the clock.
        bad: losses in a row that were not finite.
        told_collapse: whether labels that are not found were told of.
    """

    def __init__(self, job: Job, run: Run, heard: Interruption, step: Step) -> None:
        self.job, self.run, self.heard, self.step = job, run, heard, step
        this, together = processes.rank(), processes.count()
        seen, labels = previous_channels(job.stage, job.plan.dataset), job.plan.dataset.labels
        self.patches = PatchSource(job.training, job.stage, TRAINING, this, together, seen, labels)
        self.checks = PatchSource(job.validation or job.training, job.stage, VALIDATION, this, together, seen, labels)
        self.log = Log(job.folder, job.title, job.tensorboard) if this == 0 else None
        begins_alone = run.iteration == 0 and together == 1
        self.predicted = training_bytes(job.stage, job.plan.dataset, job.device) if begins_alone else None
        self.started, self.before = time.monotonic(), run.seconds
        self.saved = self.started
        self.bad = 0
        self.stopping = False
        self.told_collapse = False

    def tick(self) -> None:
        """Brings the run's clock up to date, and whether somebody asked to stop: the same in all processes."""
        seconds = self.before + time.monotonic() - self.started
        self.run.seconds, asked = processes.largest(seconds, float(self.heard.asked))
        self.stopping = bool(asked)

    def stop_if_asked(self) -> None:
        """Goes by what the processes agreed on: what this one alone has heard since, the others would not know.

        Raises:
            Asked: to stop.
        """
        if self.stopping:
            raise Asked

    def listen(self, done: float, note: str) -> None:
        """A `Step` within a validation, which is left when somebody asks to stop; its time counts when it is done.

        Raises:
            Asked: to stop.
        """
        del done, note
        _, asked = processes.largest(0.0, float(self.heard.asked))
        self.stopping = bool(asked)
        self.stop_if_asked()

    def save(self) -> None:
        """Writes the checkpoint and the log, in the first process."""
        self.saved = time.monotonic()
        if self.log is not None:
            write_checkpoint(self.job.folder, as_checkpoint(self.run, self.job))
            self.log.write(self.run.rows, finished=False)

    def go_on_with(self, run: Run) -> None:
        """Takes up an earlier state of the training; the time since then was spent all the same."""
        run.seconds = self.run.seconds
        self.started, self.before = time.monotonic(), run.seconds
        self.run, self.bad = run, 0
