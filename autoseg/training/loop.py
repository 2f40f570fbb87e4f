"""The training loop: epochs of steps, a validation and a checkpoint after each.

Comes in: a job. Goes out: weights; on the way checkpoints, a log and pictures in the job's folder. Run again after a
kill, it goes on from the last checkpoint as if nothing had been.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from autoseg.errors import TrainingStopped
from autoseg.phrases import counted
from autoseg.planner.time import FEWEST_ITERATIONS
from autoseg.progress import Progress, silent
from autoseg.training import processes
from autoseg.training.augmentation import Batch, Sample, make_batch
from autoseg.training.autocast_speed import warn_of_slow_autocast
from autoseg.training.averaging import update_average
from autoseg.training.epoch_end import finish_epoch, tell_collapse
from autoseg.training.interruption import Asked, interruption
from autoseg.training.job import Job
from autoseg.training.loading import load_batches
from autoseg.training.out_of_memory import explained
from autoseg.training.run import Run, begin
from autoseg.training.session import Session
from autoseg.training.set_back import Diverged, keep_loss, set_back
from autoseg.training.step import Learner, take_step
from autoseg.training.step_peak import log_step_memory, step_peak

logger = logging.getLogger(__name__)

PREDICTED, MEASURED = "step_bytes_predicted", "step_bytes_measured"  # in the log's first row
WATCHED_STEP = 1  # the second: in the first, the optimiser remembers nothing yet
SAVING_SECONDS = 600.0  # no more than that is lost in a power cut, however long an epoch is


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


def fit(job: Job, progress: Progress = silent) -> Trained:
    """Trains a stage, or goes on training it.

    Args:
        job: what to train, and where.
        progress: told of every share of the training that is done.

    Raises:
        TrainingStopped: Ctrl-C was pressed, or the process asked to end; everything so far is saved.
        TrainingError: the loss stays NaN or infinity, memory ran out, a loading process died, or the checkpoint is
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
        session = Session(job, run, heard, step)
        step(min(1.0, run.share), "")
        if session.log is not None:
            session.log.write(run.rows, finished=False)  # it was not, if a kill came right after a checkpoint
        while not session.run.is_finished:
            try:
                _train(session)
            except Diverged:
                set_back(session)
            except Asked:
                raise _stopped(session) from None
        tell_collapse(session.run)
        _tell_short(session.run)
        if session.log is not None:
            session.log.write(session.run.rows, finished=True)
    return _trained(session.run)


def _train(session: Session) -> None:
    """Epochs, to the end of the training, or until losses are not finite."""
    run = session.run
    with load_batches(session.patches, run.iteration, session.job.workers) as batches:
        while not run.is_finished:
            _train_epoch(session, batches)
            finish_epoch(session)
            session.stop_if_asked()


def _train_epoch(session: Session, batches: Iterator[list[Sample]]) -> None:
    """Takes the steps that are left of an epoch, fewer if the time runs out."""
    run = session.run
    epoch, length = run.epoch, run.stage.training.iterations_per_epoch
    while epoch.steps < length and (run.share < 1 or not epoch.steps):
        before, began = run.share, run.seconds
        loss = _take_step(session, _next_batch(session, batches))
        keep_loss(session, loss)
        run.iteration += 1
        if run.average is not None and run.stage.average is not None:
            update_average(run.average, run.learner.network, run.stage.average, run.iteration)
        session.tick()
        epoch.seconds += run.seconds - began
        session.step(min(1.0, run.share) - min(1.0, before), _note(run))
        if not session.bad and time.monotonic() - session.saved > SAVING_SECONDS:
            session.save()
        session.stop_if_asked()


def _next_batch(session: Session, batches: Iterator[list[Sample]]) -> Batch:
    run, asked = session.run, time.monotonic()
    samples = next(batches)
    run.epoch.waited += time.monotonic() - asked
    generators = session.patches.generators(run.iteration)
    return make_batch(samples, run.stage.sampling.patch_size, run.stage.augmentation, generators, run.learner.device)


def _take_step(session: Session, batch: Batch) -> float:
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


def _stopped(session: Session) -> TrainingStopped:
    """Saves first; a validation that was left is begun again by the one who goes on."""
    session.save()
    processes.wait()
    run = session.run
    return TrainingStopped(
        f"stopped, with a checkpoint: {session.job.title}, {min(run.share, 1):.0%} done, after "
        f"{counted(run.iteration, 'iteration')} and {run.seconds / 60:.1f} minutes. The same command goes on from "
        "there."
    )


def _trained(run: Run) -> Trained:
    """The weights to keep: the best where the training looked for them, else the better of the last and the average."""
    kept, weights = "last", run.learner.network.state_dict()
    if run.best:
        kept, weights = "best", run.best
    elif run.average is not None and run.rows:
        last, average = (run.rows[-1].get(name) or 0.0 for name in ("mean_dice", "average_mean_dice"))
        if average >= last:
            kept, weights = "average", run.average
    stopped = run.stop_reason if run.share < 1 else None
    if stopped:
        logger.info("ended before its time: %s", stopped)
    on_cpu = {name: tensor.detach().cpu() for name, tensor in weights.items()}
    return Trained(on_cpu, len(run.rows), run.iteration, run.seconds / 60, stopped, kept)


def _note(run: Run) -> str:
    recent = run.epoch.losses[-20:]
    note = f"epoch {len(run.rows)}" + (f", loss {sum(recent) / len(recent):.3f}" if recent else "")
    dice = run.rows[-1]["mean_dice"] if run.rows else None
    return note if dice is None else f"{note}; epoch {len(run.rows) - 1}: patch Dice {dice:.3f}"


def _tell_short(run: Run) -> None:
    """Says so where the time was too short for the network to learn much."""
    minutes, done = run.stage.training.minutes, run.iteration
    if minutes is not None and done < FEWEST_ITERATIONS and run.stop_reason is None:
        logger.warning(
            "warning: only %s fit the %s, and %d are the fewest that make a model worth having; give it %s or more",
            counted(done, "iteration"),
            counted(minutes, "minute"),
            FEWEST_ITERATIONS,
            counted(FEWEST_ITERATIONS * minutes / done, "minute"),
        )


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
