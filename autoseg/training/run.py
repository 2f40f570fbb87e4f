"""The state of a training: what a checkpoint saves and a resumed training begins with.

Comes in: a job, and the checkpoint in its folder if there is one. Goes out: a `Run`, and again a checkpoint.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from typing import Any

from autoseg.errors import TrainingError
from autoseg.inference.model import RESUME
from autoseg.networks.fake import input_channels
from autoseg.plan import Stage
from autoseg.training.averaging import Weights, start_average
from autoseg.training.checkpoint import FORMAT, PREVIOUS, Checkpoint, read_checkpoint
from autoseg.training.job import Job
from autoseg.training.length import share_done
from autoseg.training.schedules import learning_rate
from autoseg.training.step import Learner, compile_if_asked, make_learner, share_among_processes
from autoseg.training.stopping import should_stop

logger = logging.getLogger(__name__)


@dataclass
class Epoch:
    """An epoch that is not finished.

    Attributes:
        losses: of its steps.
        waited: seconds for data.
        seconds: so far.
        skipped: steps whose loss was not finite.
        rate: the learning rate of the last step.
        memory: bytes of a step, predicted and measured, if it was watched in this epoch.
    """

    losses: list[float] = field(default_factory=list)
    waited: float = 0.0
    seconds: float = 0.0
    skipped: int = 0
    rate: float = 0.0
    memory: dict[str, int] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Taken or skipped."""
        return len(self.losses) + self.skipped


@dataclass
class Run:
    """A training under way; see `Checkpoint` for what is not said here."""

    learner: Learner
    average: Weights | None
    iteration: int = 0
    seconds: float = 0.0
    reserve_seconds: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)
    epoch: Epoch = field(default_factory=Epoch)
    rate_share: float = 1.0
    setbacks: int = 0
    best: Weights = field(default_factory=dict)

    @property
    def stage(self) -> Stage:
        """Of the plan."""
        return self.learner.stage

    @property
    def share(self) -> float:
        """How much of the training is done, 0…1 and a little beyond."""
        return share_done(self.stage.training, self.iteration, self.seconds, self.reserve_seconds)

    @property
    def stop_reason(self) -> str | None:
        """Why the training ends before its time, in words; None where it does not."""
        return should_stop(self.stage.stopping, self.rows)

    @property
    def is_finished(self) -> bool:
        """Whether no step is left; an epoch that was begun is finished first."""
        return not self.epoch.steps and (self.share >= 1 or self.stop_reason is not None)

    def rate(self) -> float:
        """The learning rate of the next step."""
        stage = self.stage
        return self.rate_share * learning_rate(stage.schedule, stage.optimizer.learning_rate, self.share, self.rows)


def begin(job: Job) -> Run:
    """The state that the job's checkpoint holds, or that of a training that begins.

    Raises:
        TrainingError: the checkpoint is damaged, or another job's.
    """
    learner = make_learner(job.stage, input_channels(job.stage, job.plan.dataset), job.plan.dataset.labels, job.device)
    run = Run(learner, start_average(learner.network) if job.stage.average else None)
    checkpoint = read_checkpoint(job.folder, job.identity)
    if checkpoint is not None:
        _restore(run, checkpoint, job)
    compile_if_asked(run.learner)
    share_among_processes(run.learner)
    return run


def as_checkpoint(run: Run, job: Job) -> Checkpoint:
    """What is to be saved."""
    return Checkpoint(
        format=FORMAT,
        job=job.identity,
        iteration=run.iteration,
        seconds=run.seconds,
        reserve_seconds=run.reserve_seconds,
        rows=run.rows,
        epoch=asdict(run.epoch),
        rate_share=run.rate_share,
        setbacks=run.setbacks,
        network=run.learner.network.state_dict(),
        optimizer=run.learner.optimizer.state_dict(),
        scaler=run.learner.scaler.state_dict(),
        average=run.average or {},
        best=run.best,
    )


def _restore(run: Run, checkpoint: Checkpoint, job: Job) -> None:
    try:
        run.learner.network.load_state_dict(checkpoint["network"])
        run.learner.optimizer.load_state_dict(checkpoint["optimizer"])
        if checkpoint["scaler"]:  # empty where the training went on so far in a type that needs no scaling
            run.learner.scaler.load_state_dict(checkpoint["scaler"])
        if run.average is not None:
            run.average = {name: tensor.to(job.device) for name, tensor in checkpoint["average"].items()}
        run.best = checkpoint["best"]
        run.iteration, run.seconds, run.rows = checkpoint["iteration"], checkpoint["seconds"], checkpoint["rows"]
        run.reserve_seconds, run.epoch = checkpoint["reserve_seconds"], Epoch(**checkpoint["epoch"])
        run.rate_share, run.setbacks = checkpoint["rate_share"], checkpoint["setbacks"]
    except (KeyError, RuntimeError, TypeError, ValueError) as problem:
        raise TrainingError(
            f"{job.folder}: the checkpoint does not fit the training it names ({type(problem).__name__}). "
            f"Remove {RESUME} and {PREVIOUS} to start this training over."
        ) from None
