"""The training loop: epochs of steps, a validation and a checkpoint after each.

Comes in: a job. Goes out: weights; on the way checkpoints, a log and pictures in the job's folder. Run again after a
kill, it goes on from the last checkpoint as if nothing had been.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from autoseg.errors import TrainingError, TrainingStopped
from autoseg.networks.fake import previous_channels
from autoseg.progress import Progress, Step, silent
from autoseg.training import processes
from autoseg.training.augmentation import Batch, Sample, make_batch
from autoseg.training.autocast_speed import warn_of_slow_autocast
from autoseg.training.averaging import averaged, update_average
from autoseg.training.checkpoint import write_checkpoint
from autoseg.training.collapse import LATE, never_found
from autoseg.training.improvement import improvements
from autoseg.training.interruption import Interruption, interruption
from autoseg.training.job import Job
from autoseg.training.loading import TRAINING, VALIDATION, PatchSource, load_batches
from autoseg.training.log import Log
from autoseg.training.memory import training_bytes
from autoseg.training.out_of_memory import explained
from autoseg.training.patch_validation import PatchScores, validate_on_patches
from autoseg.training.run import Epoch, Run, as_checkpoint, begin
from autoseg.training.step import Learner, take_step
from autoseg.training.step_peak import log_step_memory, step_peak
from autoseg.training.stopping import should_stop
from autoseg.training.whole_validation import validate_on_cases

logger = logging.getLogger(__name__)

PREDICTED, MEASURED = "step_bytes_predicted", "step_bytes_measured"  # in the log's first row
WATCHED_STEP = 1  # the second: in the first, the optimiser remembers nothing yet
SAVING_SECONDS = 600.0  # no more than that is lost in a power cut, however long an epoch is
IN_A_ROW = 3  # losses that are no numbers, after which a training goes back to its last checkpoint
MOST_SETBACKS = 2  # a third time it gives up


class Trained(NamedTuple):
    """What comes out of a training: the weights, and what it took.

    Attributes:
        weights: by name, on the CPU.
        epochs, iterations, minutes: spent, earlier sessions included.
        stopped: why it ended before its time; None where it did not.
        kept: which weights these are: "last", "average" or "best".
    """

    weights: dict[str, Tensor]
    epochs: int
    iterations: int
    minutes: float
    stopped: str | None
    kept: str


class _Diverged(Exception):
    """Several losses in a row were no numbers."""


class _Session:
    """What belongs to this process's part of a training and is not saved."""

    def __init__(self, job: Job, run: Run, heard: Interruption, step: Step) -> None:
        self.job, self.run, self.heard, self.step = job, run, heard, step
        this, together = processes.rank(), processes.count()
        seen, labels = previous_channels(job.stage, job.plan.dataset), job.plan.dataset.labels
        self.patches = PatchSource(job.training, job.stage, TRAINING, this, together, seen, labels)
        self.checks = PatchSource(job.validation or job.training, job.stage, VALIDATION, this, together, seen, labels)
        self.log = Log(job.folder, job.title, job.tensorboard) if processes.rank() == 0 else None
        self.predicted = training_bytes(job.stage, job.plan.dataset, job.device) if run.iteration == 0 else None
        self.started, self.before = time.monotonic(), run.seconds
        self.saved = self.started
        self.bad = 0  # losses in a row that were no numbers
        self.told_collapse = False

    def tick(self) -> None:
        """Brings the run's clock up to date, the same one in all processes, and whether somebody asked to stop."""
        seconds = self.before + time.monotonic() - self.started
        self.run.seconds, asked = processes.largest(seconds, float(self.heard.asked))
        self.heard.asked = bool(asked)


def fit(job: Job, progress: Progress = silent) -> Trained:
    """Trains a stage, or goes on training it.

    Args:
        job: what to train, and where.
        progress: told of every share of the training that is done.

    Raises:
        TrainingStopped: Ctrl-C was pressed, or the process asked to end; everything so far is saved.
        TrainingError: the loss stays no number, memory ran out, a loading process died, or the checkpoint is
            damaged or belongs to another job.
    """
    run = begin(job)
    _tell_type(run.learner)
    if job.stage.dimensions == 3:
        warn_of_slow_autocast(job.device, run.learner.dtype)
    _tell_start(run, job)
    with (
        interruption() as heard,
        explained(job.stage, job.stage_name, job.plan.dataset, job.device),
        progress(f"training {job.stage_name}, fold {job.fold}", 1.0) as step,
    ):
        session = _Session(job, run, heard, step)
        step(min(1.0, run.share), "")
        if session.log is not None:
            session.log.write(run.rows, finished=False)  # it was not, if a kill came right after a checkpoint
        while not _is_finished(session.run):
            try:
                _train(session)
            except _Diverged:
                session.run = _set_back(session)
        _tell_collapse(session.run)
        if session.log is not None:
            session.log.write(session.run.rows, finished=True)
    return _trained(session.run)


def _train(session: _Session) -> None:
    """Epochs, to the end of the training, or until losses are no numbers."""
    run = session.run
    with load_batches(session.patches, run.iteration, session.job.workers) as batches:
        while not _is_finished(run):
            _train_epoch(session, batches)
            _finish_epoch(session)
            _stop_if_asked(session)


def _is_finished(run: Run) -> bool:
    between = not run.epoch.steps  # one that was begun is finished first
    return between and (run.share >= 1 or should_stop(run.stage.stopping, run.rows) is not None)


def _train_epoch(session: _Session, batches: Iterator[list[Sample]]) -> None:
    """Takes the steps that are left of an epoch, fewer if the time runs out."""
    run = session.run
    epoch, length = run.epoch, run.stage.training.iterations_per_epoch
    while epoch.steps < length and (run.share < 1 or not epoch.steps):
        if epoch.steps:
            _stop_if_asked(session)
        before, began = run.share, run.seconds
        loss = _take_step(session, _next_batch(session, batches))
        if math.isfinite(loss):
            session.bad = 0
            epoch.losses.append(loss)
        else:
            session.bad += 1
            epoch.skipped += 1
        if session.bad == IN_A_ROW:
            raise _Diverged
        run.iteration += 1
        if run.average is not None and run.stage.average is not None:
            update_average(run.average, run.learner.network, run.stage.average, run.iteration)
        session.tick()
        epoch.seconds += run.seconds - began
        session.step(min(1.0, run.share) - min(1.0, before), _note(run))
        if not session.bad and time.monotonic() - session.saved > SAVING_SECONDS:
            _save(session)


def _next_batch(session: _Session, batches: Iterator[list[Sample]]) -> Batch:
    run, asked = session.run, time.monotonic()
    samples = next(batches)
    run.epoch.waited += time.monotonic() - asked
    generators = session.patches.generators(run.iteration)
    return make_batch(samples, run.stage.sampling.patch_size, run.stage.augmentation, generators, run.learner.device)


def _take_step(session: _Session, batch: Batch) -> float:
    """A step; the second of a training is watched, to compare what it takes with what was predicted."""
    run = session.run
    rate = run.epoch.rate = run.rate()
    if getattr(run.stage.network, "dropout", 0.0):  # what is left out depends on the iteration alone, like patches
        seeds = [run.stage.training.seed, processes.rank(), run.iteration]
        torch.manual_seed(int(np.random.default_rng(seeds).integers(2**63)))
    if run.iteration != WATCHED_STEP or session.predicted is None:
        return take_step(run.learner, batch, rate)
    beside = (run.average or {}).values()
    loss, measured = step_peak(lambda: take_step(run.learner, batch, rate), run.learner, batch, beside)
    log_step_memory(session.predicted, measured)
    run.epoch.memory = {PREDICTED: session.predicted, MEASURED: measured}
    return loss


def _finish_epoch(session: _Session) -> None:
    """Validates, writes the row of the log, and saves."""
    run, began = session.run, session.run.seconds
    scores = _validate(session)
    of_average = _validate_average(session)
    session.tick()
    validating = run.seconds - began
    losses = run.epoch.losses
    row = {
        "epoch": len(run.rows),
        "minutes": run.seconds / 60,
        "share": min(1.0, run.share),
        "train_loss": sum(losses) / len(losses) if losses else None,
        "validation_loss": scores.loss,
        "dice": scores.dice,
        "mean_dice": scores.mean_dice,
        "learning_rate": run.epoch.rate,
        "data_wait": run.epoch.waited / max(run.epoch.seconds, 1e-9),
        "seconds": run.epoch.seconds + validating,
        "validation_seconds": validating,
    }
    if of_average is not None:
        row["average_mean_dice"] = of_average.mean_dice
    if run.epoch.skipped:
        row["skipped"] = run.epoch.skipped
    row |= run.epoch.memory
    run.rows.append(row)
    run.epoch = Epoch()
    _keep_best(run)
    _save(session)
    session.tick()
    run.reserve_seconds = run.seconds - began
    if run.share >= LATE and not session.told_collapse:
        _tell_collapse(run)
        session.told_collapse = True


def _validate_average(session: _Session) -> PatchScores | None:
    run = session.run
    if run.average is None:
        return None
    with averaged(run.learner.network, run.average):
        return _validate(session)


def _validate(session: _Session) -> PatchScores:
    """On patches, or on the first whole cases, as the plan says."""
    learner, checks, dataset = session.run.learner, session.checks, session.job.plan.dataset
    whole = learner.stage.training.validation_cases
    if whole is None:
        return validate_on_patches(learner, checks, dataset.labels)
    return validate_on_cases(learner, checks.cases[:whole], dataset)


def _keep_best(run: Run) -> None:
    """Of a training that stops when nothing improves, the weights from when something last did."""
    stopping = run.stage.stopping
    if stopping is None or stopping.patience is None:
        return
    if improvements(run.rows, stopping.quantity, stopping.tolerance)[-1]:
        run.best = {name: tensor.detach().cpu().clone() for name, tensor in run.learner.network.state_dict().items()}


def _save(session: _Session) -> None:
    session.saved = time.monotonic()
    if session.log is not None:
        write_checkpoint(session.job.folder, as_checkpoint(session.run, session.job))
        session.log.write(session.run.rows, finished=False)


def _stop_if_asked(session: _Session) -> None:
    if not session.heard.asked or _is_finished(session.run):
        return
    _save(session)
    processes.wait()
    run = session.run
    raise TrainingStopped(
        f"stopped, with a checkpoint: {session.job.title}, {min(run.share, 1):.0%} done, after {run.iteration} "
        f"iterations and {run.seconds / 60:.1f} minutes. The same command goes on from there."
    )


def _set_back(session: _Session) -> Run:
    """The training as it was at its last checkpoint, with half the learning rate from there on."""
    before = session.run
    setbacks, share = before.setbacks + 1, before.rate_share / 2
    session.bad = 0
    if setbacks > MOST_SETBACKS:
        raise TrainingError(
            f"{session.job.title}: the loss became no number {IN_A_ROW} times in a row, for the {setbacks}rd time, at "
            f"{share:g} of the planned learning rate. Look for NaN or extreme values with 'autoseg check', lower the "
            f"learning rate (--set stages.{session.job.stage_name}.optimizer.learning_rate=0.001), or train in float32 "
            f"(--set stages.{session.job.stage_name}.training.precision=float32). The last checkpoint is kept."
        )
    processes.wait()
    run = begin(session.job)
    run.setbacks, run.rate_share = setbacks, share
    logger.warning(
        "warning: the loss became no number %d times in a row at iteration %d: going back to iteration %d with half "
        "the learning rate",
        IN_A_ROW,
        before.iteration,
        run.iteration,
    )
    session.started, session.before = time.monotonic(), before.seconds  # what was lost took its time
    run.seconds = before.seconds
    return run


def _trained(run: Run) -> Trained:
    """The weights to keep: the best where the training looked for them, else the better of the last and the average."""
    kept, weights = "last", run.learner.network.state_dict()
    if run.best:
        kept, weights = "best", run.best
    elif run.average is not None and run.rows:
        last, average = (run.rows[-1].get(name) or 0.0 for name in ("mean_dice", "average_mean_dice"))
        if average >= last:
            kept, weights = "average", run.average
    stopped = should_stop(run.stage.stopping, run.rows) if run.share < 1 else None
    if stopped:
        logger.info("ended before its time: %s", stopped)
    on_cpu = {name: tensor.detach().cpu() for name, tensor in weights.items()}
    return Trained(on_cpu, len(run.rows), run.iteration, run.seconds / 60, stopped, kept)


def _note(run: Run) -> str:
    recent = run.epoch.losses[-20:]
    note = f"epoch {len(run.rows)}" + (f", loss {sum(recent) / len(recent):.3f}" if recent else "")
    dice = run.rows[-1]["mean_dice"] if run.rows else None
    return note if dice is None else f"{note}, patch Dice {dice:.3f}"


def _tell_type(learner: Learner) -> None:
    """Says so where the network computes in another type than the plan says."""
    used, planned = str(learner.dtype).removeprefix("torch."), learner.stage.training.precision
    if used != planned:
        scaled = ", with scaled gradients" * learner.scaler.is_enabled()
        logger.warning("%s does not compute in %s: training in %s%s", learner.device, planned, used, scaled)


def _tell_start(run: Run, job: Job) -> None:
    if run.iteration:
        minutes = run.seconds / 60
        logger.info("%s: continuing after iteration %d (%.1f minutes)", job.title, run.iteration, minutes)
    if run.rows and run.share < 1 == run.rows[-1]["share"]:
        last = run.rows[-1]["learning_rate"]
        logger.info("it is made longer: the learning rate goes on at %.2g, after %.2g at its end", run.rate(), last)


def _tell_collapse(run: Run) -> None:
    """Says so where labels have never been found; called once a third of the training is over, and at its end."""
    if lost := never_found(run.rows):
        logger.warning(
            "warning: %s: a validation Dice of 0 in every epoch so far; the network does not find %s. Are there enough "
            "cases with it? --set stages.NAME.sampling.foreground=by_label shows it more often",
            ", ".join(lost),
            "it" if len(lost) == 1 else "them",
        )
