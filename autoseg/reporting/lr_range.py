"""A picture of a learning-rate range test.

Comes in: what was found. Goes out: a PNG of the loss over the rates, with the rate that is suggested.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from autoseg.files import atomic_path
from autoseg.training.lr_range import RateRange
from autoseg.training.training_curves import COLOURS, DOTS_PER_INCH

SIZE_INCHES = (7.0, 4.2)


def draw_rate_range(path: Path, found: RateRange, title: str) -> None:
    """Draws the losses and their moving average.

    Args:
        path: the PNG to write.
        found: by the test; at least one step.
        title: what was tested.
    """
    figure = Figure(figsize=SIZE_INCHES, layout="constrained", facecolor="white")
    axes = figure.subplots()
    axes.set_title(title, fontsize=11, loc="left")
    axes.plot(found.rates, found.losses, ".", color=COLOURS[3], markersize=4, label="loss of a batch")
    axes.plot(found.rates, found.averages, color=COLOURS[0], linewidth=1.8, label="moving average")
    if found.suggestion is not None and found.best is not None:
        axes.axvline(found.best, color=COLOURS[3], linestyle=":", label=f"lowest at {found.best:.1e}")
        axes.axvline(found.suggestion, color=COLOURS[2], linestyle="--", label=f"suggested: {found.suggestion:g}")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    lowest, start = min(found.averages), found.averages[0]
    margin = max(start - lowest, 1e-3 * abs(start), 1e-9)
    axes.set_ylim(lowest - 0.5 * margin, start + margin)  # how it diverges is of no interest
    axes.grid(True, color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="lower left")
    with atomic_path(path, suffix=".png") as temporary:
        figure.savefig(temporary, dpi=DOTS_PER_INCH)
