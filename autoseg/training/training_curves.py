"""A picture of how a training goes.

Comes in: the rows of log.jsonl. Goes out: a PNG with the losses, the Dice, the learning rate and
where the time went.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autoseg.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE_INCHES, DOTS_PER_INCH = (10.0, 6.4), 120
# Petroff 2021, arXiv:2107.02270: told apart whatever the colour vision, on a white ground.
COLOURS = (
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)
FEW = 40  # epochs up to which each is marked by a dot, so that even the first is seen

Records = Sequence[Mapping[str, Any]]


def draw_training_curves(path: Path, records: Records, title: str) -> None:
    """Draws four panels over the epochs.

    Args:
        path: the PNG to write.
        records: a row an epoch, with the keys epoch, minutes (since the start), train_loss,
            validation_loss, dice (target → Dice or None), mean_dice, learning_rate, seconds (the
            epoch took) and data_wait (share of it spent waiting for data, 0…1); at least one row.
        title: what was trained.
    """
    from matplotlib.figure import Figure  # which takes half a second to import
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=SIZE_INCHES, layout="constrained", facecolor="white")
    epochs = "1 epoch" if len(records) == 1 else f"{len(records)} epochs"
    figure.suptitle(f"{title}: {epochs}, {_duration(records[-1]['minutes'])}", fontsize=13)
    losses, scores, rates, times = figure.subplots(2, 2, sharex=True).flat
    _draw_losses(losses, records)
    _draw_dice(scores, records)
    _draw_learning_rate(rates, records)
    _draw_times(times, records)
    for axes in (rates, times):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    with atomic_path(path, suffix=".png") as temporary:
        figure.savefig(temporary, dpi=DOTS_PER_INCH)


def _draw_losses(axes: Axes, records: Records) -> None:
    _prepare(axes, "loss")
    _line(axes, records, _column(records, "train_loss"), color=COLOURS[0], label="training")
    _line(axes, records, _column(records, "validation_loss"), color=COLOURS[1], label="validation")
    axes.legend(frameon=False, fontsize=9)


def _draw_dice(axes: Axes, records: Records) -> None:
    mean = _column(records, "mean_dice")
    known = mean[~np.isnan(mean)]
    latest = f", latest mean {known[-1]:.3f}" if known.size else ""
    _prepare(axes, f"Dice on validation patches{latest}")
    targets = list(records[-1]["dice"])
    for place, target in enumerate(targets):
        scores = np.array([_number(row["dice"].get(target)) for row in records])
        if len(targets) <= len(COLOURS):
            _line(axes, records, scores, color=COLOURS[place], label=target, alpha=0.8)
        else:  # too many to tell apart: their spread is what can be seen
            _line(axes, records, scores, color="0.75", label=f"{len(targets)} targets" if place == 0 else None)
    if len(targets) > 1:
        _line(axes, records, mean, color="black", label="mean", linewidth=2.2)
    axes.set_ylim(0, 1)
    axes.legend(frameon=False, fontsize=9, loc="best", ncols=1 + len(targets) // 6)


def _draw_learning_rate(axes: Axes, records: Records) -> None:
    _prepare(axes, "learning rate")
    _line(axes, records, _column(records, "learning_rate"), color=COLOURS[0])
    axes.set_ylim(bottom=0)
    axes.ticklabel_format(axis="y", scilimits=(-3, 3))


def _draw_times(axes: Axes, records: Records) -> None:
    seconds = _column(records, "seconds")
    waiting = seconds * _column(records, "data_wait")
    share = np.nansum(waiting) / max(np.nansum(seconds), 1e-9)
    _prepare(axes, f"seconds an epoch, {share:.0%} of them waiting for data")
    epochs = _column(records, "epoch")
    edges = np.append(epochs - 0.5, epochs[-1] + 0.5)
    axes.stairs(seconds, edges, fill=True, color=COLOURS[0], alpha=0.35, label="computing")
    axes.stairs(waiting, edges, fill=True, color=COLOURS[1], label="waiting for data")
    axes.set_ylim(0, 1.25 * np.nanmax(seconds, initial=0) or 1)  # room for the legend
    axes.legend(frameon=False, fontsize=9, ncols=2, loc="upper right")


def _prepare(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=11, loc="left")
    axes.grid(True, color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9, labelbottom=True)


def _line(axes: Axes, records: Records, values: NDArray[np.float64], **look: Any) -> None:
    marker = "o" if len(records) <= FEW else None
    axes.plot(_column(records, "epoch"), values, **{"linewidth": 1.6, "marker": marker, "markersize": 3.5, **look})


def _column(records: Records, key: str) -> NDArray[np.float64]:
    return np.array([_number(row[key]) for row in records])


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _duration(minutes: float) -> str:
    return f"{minutes:.1f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"
