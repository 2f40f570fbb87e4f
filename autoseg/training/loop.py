"""The training loop: epochs of steps, a validation and a checkpoint after each.

Comes in: a job. Goes out: weights; on the way `resume.pt`, `log.jsonl` and `progress.png` in the
job's folder. Run again after a kill, it goes on from the last epoch that was finished.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from autoseg.errors import TrainingError
from autoseg.files import content_hash, write_text
from autoseg.plan import Plan, Stage
from autoseg.preprocessing import PreparedCase
from autoseg.progress import Progress, Step, silent
from autoseg.training.augmentation import Batch, Sample, make_batch
from autoseg.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from autoseg.training.length import share_done
from autoseg.training.loading import TRAINING, VALIDATION, PatchSource, load_batches
from autoseg.training.memory import training_bytes
from autoseg.training.patch_validation import validate_on_patches
from autoseg.training.schedules import learning_rate_factor
from autoseg.training.step import Learner, make_learner, take_step
from autoseg.training.step_peak import log_step_memory, step_peak
from autoseg.training.training_curves import draw_training_curves

logger = logging.getLogger(__name__)

PREDICTED, MEASURED = "step_bytes_predicted", "step_bytes_measured"  # in the log's first row
WATCHED_STEP = 1  # the second: in the first, the optimiser remembers nothing yet
LONGEST_EPOCH_SECONDS = 600.0  # an epoch ends early rather than that more than this is lost in a power cut


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        plan: the plan.
        stage_name: which of its stages.
        fold: number, or "all".
        training: prepared cases to fit.
        validation: prepared cases to score on; where there are none, the training cases are scored.
        folder: where everything is written.
        device: where to compute.
        workers: processes that load patches; 0 loads in this one.
    """

    plan: Plan
    stage_name: str
    fold: int | str
    training: Sequence[PreparedCase]
    validation: Sequence[PreparedCase]
    folder: Path
    device: torch.device
    workers: int = 1

    @property
    def stage(self) -> Stage:
        """The stage to train."""
        return self.plan.stages[self.stage_name]

    @property
    def title(self) -> str:
        """What the job is called in displays and plots."""
        return f"{self.plan.dataset.name} · {self.stage_name} · fold {self.fold}"

    @cached_property
    def identity(self) -> str:
        """Hash of what decides the weights: the stage, the labels, the cases and the content of their files."""
        stage, dataset = self.stage.model_dump(mode="json"), self.plan.dataset.model_dump(mode="json")
        return content_hash([stage, dataset, [_state(case) for case in self.training], _names(self.validation)])


def _state(case: PreparedCase) -> list[Any]:
    """Name of a case, and the content of the files it was prepared from, wherever they lie."""
    return [case.name, [source.sha256 for source in case.record.sources]]


def _names(cases: Sequence[PreparedCase]) -> list[str]:
    return [case.name for case in cases]


class Trained(NamedTuple):
    """What comes out of a training: the weights, and what it took."""

    weights: dict[str, Tensor]
    epochs: int
    iterations: int
    minutes: float


@dataclass
class _Run:
    """The state of a training: what `Checkpoint` saves, and the memory of a step for the log."""

    learner: Learner
    iteration: int = 0
    seconds: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)
    memory: dict[str, int] = field(default_factory=dict)


def fit(job: Job, progress: Progress = silent) -> Trained:
    """Trains a stage, or goes on training it.

    Args:
        job: what to train, and where.
        progress: told of every share of the training that is done.

    Raises:
        TrainingError: the loss is not finite, a loading process died, the checkpoint is damaged or
            belongs to another job.
    """
    labels = job.plan.dataset.labels
    run = _Run(make_learner(job.stage, len(job.plan.dataset.channels), labels, job.device))
    _tell_type(run.learner)
    _resume(run, job)
    if run.iteration == 0:
        run.memory[PREDICTED] = training_bytes(job.stage, job.plan.dataset, job.device)
    patches = PatchSource(job.training, job.stage, TRAINING)
    checks = PatchSource(job.validation or job.training, job.stage, VALIDATION)
    training = job.stage.training
    with (
        load_batches(patches, run.iteration, job.workers) as batches,
        progress(f"training {job.stage_name}, fold {job.fold}", 1.0) as step,
    ):
        step(min(1.0, share_done(training, run.iteration, run.seconds)), "")
        while share_done(training, run.iteration, run.seconds) < 1:
            started = time.monotonic()
            before = run.seconds
            row = _train_epoch(run, patches, batches, step)
            scores = validate_on_patches(run.learner, checks, labels)
            run.seconds = before + time.monotonic() - started
            row |= {
                "epoch": len(run.rows),
                "minutes": run.seconds / 60,
                "validation_loss": scores.loss,
                "dice": scores.dice,
                "mean_dice": scores.mean_dice,
                "seconds": run.seconds - before,
            }
            run.rows.append(row)
            _save(run, job)
    weights = {name: tensor.detach().cpu() for name, tensor in run.learner.network.state_dict().items()}
    return Trained(weights, len(run.rows), run.iteration, run.seconds / 60)


def _tell_type(learner: Learner) -> None:
    """Says so where the network computes in another type than the plan says."""
    used, planned = str(learner.dtype).removeprefix("torch."), learner.stage.training.precision
    if used != planned:
        scaled = ", with scaled gradients" * learner.scaler.is_enabled()
        logger.warning("%s does not compute in %s: training in %s%s", learner.device, planned, used, scaled)


def _train_epoch(run: _Run, patches: PatchSource, batches: Iterator[list[Sample]], step: Step) -> dict[str, Any]:
    """Takes an epoch's steps, fewer if they take too long or the time runs out; returns what to log of them."""
    stage = run.learner.stage
    started, before = time.monotonic(), run.seconds
    losses, waited, rate = [], 0.0, 0.0
    for _ in range(stage.training.iterations_per_epoch):
        asked = time.monotonic()
        samples = next(batches)
        waited += time.monotonic() - asked
        generators = patches.generators(run.iteration)
        batch = make_batch(samples, stage.sampling.patch_size, stage.augmentation, generators, run.learner.device)
        done = share_done(stage.training, run.iteration, run.seconds)
        rate = stage.optimizer.learning_rate * learning_rate_factor(stage.schedule, done)
        losses.append(_take_step(run, batch, rate))
        run.iteration += 1
        run.seconds = before + time.monotonic() - started
        after = share_done(stage.training, run.iteration, run.seconds)
        step(min(1.0, after) - min(1.0, done), _note(run, losses))
        if after >= 1 or run.seconds - before > LONGEST_EPOCH_SECONDS:
            break
    wait_share = waited / max(run.seconds - before, 1e-9)
    row = {"train_loss": sum(losses) / len(losses), "learning_rate": rate, "data_wait": wait_share}
    if MEASURED in run.memory:  # it is logged once
        row, run.memory = row | run.memory, {}
    return row


def _take_step(run: _Run, batch: Batch, rate: float) -> float:
    """A step; the second of a training is watched, to compare what it takes with what was predicted."""
    if run.iteration != WATCHED_STEP or PREDICTED not in run.memory:
        return take_step(run.learner, batch, rate)
    loss, run.memory[MEASURED] = step_peak(lambda: take_step(run.learner, batch, rate), run.learner, batch)
    log_step_memory(run.memory[PREDICTED], run.memory[MEASURED])
    return loss


def _note(run: _Run, losses: Sequence[float]) -> str:
    recent = losses[-20:]
    note = f"epoch {len(run.rows)}, loss {sum(recent) / len(recent):.3f}"
    dice = run.rows[-1]["mean_dice"] if run.rows else None
    return note if dice is None else f"{note}, patch Dice {dice:.3f}"


def _resume(run: _Run, job: Job) -> None:
    checkpoint = read_checkpoint(job.folder, job.identity)
    if checkpoint is None:
        return
    try:
        run.learner.network.load_state_dict(checkpoint["network"])
        run.learner.optimizer.load_state_dict(checkpoint["optimizer"])
        if checkpoint["scaler"]:  # empty where the training went on so far in a type that needs no scaling
            run.learner.scaler.load_state_dict(checkpoint["scaler"])
        run.iteration, run.seconds, run.rows = checkpoint["iteration"], checkpoint["seconds"], checkpoint["rows"]
    except (KeyError, RuntimeError, TypeError, ValueError) as problem:
        raise TrainingError(
            f"{job.folder}: the checkpoint does not fit the training it names ({type(problem).__name__}). "
            "Remove resume.pt to start this training over."
        ) from None
    _write_log(run, job)  # it was not, if the kill came right after the checkpoint
    logger.info("%s: continuing after epoch %d (%.1f minutes)", job.title, len(run.rows) - 1, run.seconds / 60)


def _save(run: _Run, job: Job) -> None:
    checkpoint = Checkpoint(
        format=1,
        job=job.identity,
        iteration=run.iteration,
        seconds=run.seconds,
        rows=run.rows,
        network=run.learner.network.state_dict(),
        optimizer=run.learner.optimizer.state_dict(),
        scaler=run.learner.scaler.state_dict(),
    )
    write_checkpoint(job.folder, checkpoint)
    _write_log(run, job)


def _write_log(run: _Run, job: Job) -> None:
    """Numbers and pictures of every epoch: views of what the checkpoint holds, so they come after it."""
    write_text(job.folder / "log.jsonl", "".join(json.dumps(row) + "\n" for row in run.rows))
    draw_training_curves(job.folder / "progress.png", run.rows, job.title)
