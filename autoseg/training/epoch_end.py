"""What follows the steps of an epoch.

Comes in: a session whose epoch is over. Goes out: a validation, on patches or on whole cases as the plan says, a row of
the log, a checkpoint; a warning of labels that are not found.
"""

from __future__ import annotations

import logging
from typing import Any

from autoseg.training.averaging import averaged
from autoseg.training.collapse import LATE, never_found
from autoseg.training.improvement import improvements
from autoseg.training.patch_validation import PatchScores, validate_on_patches
from autoseg.training.run import Epoch, Run
from autoseg.training.session import Session
from autoseg.training.whole_validation import validate_on_cases

logger = logging.getLogger(__name__)


def finish_epoch(session: Session) -> None:
    """Validates, writes the row of the log, and saves.

    Raises:
        Asked: to stop, in the validation; the epoch is as it was after its steps.
    """
    run, began = session.run, session.run.seconds
    scores = _validate(session)
    of_average = _validate_average(session)
    session.tick()
    run.rows.append(_row(run, scores, of_average, validating=run.seconds - began))
    run.epoch = Epoch()
    _keep_best(run)
    session.save()
    session.tick()
    run.reserve_seconds = run.seconds - began
    if run.share >= LATE and not session.told_collapse:
        tell_collapse(run)
        session.told_collapse = True


def tell_collapse(run: Run) -> None:
    """Says so where labels have never been found; called once a third of the training is over, and at its end."""
    if lost := never_found(run.rows):
        logger.warning(
            "warning: %s: a validation Dice of 0 in every epoch so far; the network does not find %s. Are there enough "
            "cases with it? --set stages.NAME.sampling.foreground=by_label shows it more often",
            ", ".join(lost),
            "it" if len(lost) == 1 else "them",
        )


def _validate_average(session: Session) -> PatchScores | None:
    run = session.run
    if run.average is None:
        return None
    with averaged(run.learner.network, run.average):
        return _validate(session)


def _validate(session: Session) -> PatchScores:
    learner, checks, dataset = session.run.learner, session.checks, session.job.plan.dataset
    whole = learner.stage.training.validation_cases
    if whole is None:
        return validate_on_patches(learner, checks, dataset.labels, session.listen)
    return validate_on_cases(learner, checks.cases[:whole], dataset, session.listen)


def _row(run: Run, scores: PatchScores, of_average: PatchScores | None, validating: float) -> dict[str, Any]:
    """What the log says of an epoch."""
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
    return row | run.epoch.memory


def _keep_best(run: Run) -> None:
    """Of a training that stops when nothing improves, the weights from when something last did."""
    stopping = run.stage.stopping
    if stopping is None or stopping.patience is None:
        return
    if improvements(run.rows, stopping.quantity, stopping.tolerance)[-1]:
        run.best = {name: tensor.detach().cpu().clone() for name, tensor in run.learner.network.state_dict().items()}
