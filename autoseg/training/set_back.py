"""A training whose loss is not finite (NaN or infinity).

Comes in: losses. Goes out: a session that went back to its last checkpoint, or the end of the training.
"""

from __future__ import annotations

import logging
import math

from autoseg.errors import TrainingError
from autoseg.phrases import counted
from autoseg.training import processes
from autoseg.training.run import begin
from autoseg.training.session import Session

logger = logging.getLogger(__name__)

IN_A_ROW = 3  # losses that are not finite, after which a training goes back to its last checkpoint
MOST_SETBACKS = 2  # a third time it gives up


class Diverged(Exception):
    """Several losses in a row were not finite."""


def keep_loss(session: Session, loss: float) -> None:
    """Adds the loss of a step to its epoch, or counts the step as skipped.

    Raises:
        Diverged: it is the last of several in a row that are not finite.
    """
    if math.isfinite(loss):
        session.bad = 0
        session.run.epoch.losses.append(loss)
        return
    session.bad += 1
    session.run.epoch.skipped += 1
    if session.bad == IN_A_ROW:
        raise Diverged


def set_back(session: Session) -> None:
    """Brings the training to where it was at its last checkpoint, with half the learning rate from there on.

    Raises:
        TrainingError: it has been set back twice already.
    """
    before = session.run
    if before.setbacks >= MOST_SETBACKS:
        raise TrainingError(
            f"{session.job.title}: the loss was not finite (NaN or infinity) {IN_A_ROW} times in a row, after "
            f"{counted(before.setbacks, 'setback')}, at {before.rate_share:g} of the planned learning rate. Look for "
            "NaN or extreme values with 'autoseg check', lower the learning rate "
            f"(--set stages.{session.job.stage_name}.optimizer.learning_rate=0.001), or train in float32 "
            f"(--set stages.{session.job.stage_name}.training.precision=float32). The last checkpoint is kept."
        )
    processes.wait()
    run = begin(session.job)
    run.setbacks, run.rate_share = before.setbacks + 1, before.rate_share / 2
    logger.warning(
        "warning: the loss was not finite (NaN or infinity) %d times in a row at iteration %d: going back to iteration "
        "%d with half the learning rate",
        IN_A_ROW,
        before.iteration,
        run.iteration,
    )
    session.go_on_with(run)
