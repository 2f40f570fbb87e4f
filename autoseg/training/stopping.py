"""When a training ends before its time.

Comes in: the plan's conditions and the log of the epochs that are finished. Goes out: the reason to end, in words.
"""

from __future__ import annotations

from autoseg.phrases import counted
from autoseg.plan.training import QUANTITY_NAMES, Stopping
from autoseg.training.improvement import Rows, improvements


def should_stop(stopping: Stopping | None, rows: Rows) -> str | None:
    """Why the training ends after the last of these epochs; None where it goes on.

    Args:
        stopping: from the plan.
        rows: of the log, one a finished epoch, with the keys train_loss, validation_loss, mean_dice and learning_rate.

    >>> rows = [{"validation_loss": loss} for loss in (0.5, 0.3, 0.4, 0.35)]
    >>> should_stop(Stopping(patience=2), rows)
    'the validation loss has not improved for 2 epochs (best: 0.3, after epoch 1)'
    """
    if stopping is None:
        return None
    if stopping.patience is not None and (reason := _no_improvement(stopping, stopping.patience, rows)):
        return reason
    lowest = stopping.learning_rate
    rates = [row["learning_rate"] for row in rows] if lowest is not None else []
    if lowest is not None and rates and rates[-1] <= lowest < max(rates):  # in a warm-up it is low, but has not fallen
        return f"the learning rate has fallen to {rates[-1]:.3g}"
    return None


def _no_improvement(stopping: Stopping, patience: int, rows: Rows) -> str | None:
    improved = improvements(rows, stopping.quantity, stopping.tolerance)
    if len(improved) < patience or any(improved[-patience:]):
        return None
    name = f"the {QUANTITY_NAMES[stopping.quantity]} has not improved for {counted(patience, 'epoch')}"
    if True not in improved:
        return f"{name} (it has no value)"
    epoch = max(place for place, better in enumerate(improved) if better)
    return f"{name} (best: {rows[epoch][stopping.quantity]:.4g}, after epoch {epoch})"
