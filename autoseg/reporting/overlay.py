"""Pictures of predictions beside the truth.

Comes in: images with their true and predicted label maps. Goes out: a PNG with a row a case.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoseg.dataset.labels import Labels
from autoseg.files import atomic_path

if TYPE_CHECKING:  # matplotlib takes half a second to import: functions do so when something is drawn
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

WIDTH_INCHES, ROW_INCHES, DOTS_PER_INCH = 10.0, 4.0, 120
LEGEND_COLUMNS = 5
ROLES = ("image", "truth", "prediction")
PLATE = {"facecolor": "black", "alpha": 0.5, "linewidth": 0, "pad": 2}  # behind words that lie on the image
# Okabe and Ito 2008, told apart whatever the colour vision; black, the first, is lost on an image.
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
LINE_STYLES: tuple[Literal["-", "--", ":"], ...] = ("-", "--", ":")  # one more each time the colours are used up
MARGIN = 0.5  # of the foreground's size: the surroundings that decide which intensities are shown


class Overlay(NamedTuple):
    """One case to draw.

    Attributes:
        name: of the case.
        image: (z, y, x), one channel, any intensities.
        spacing_mm: (z, y, x), so that the picture has the proportions of the patient.
        reference: (z, y, x), the true label map in the values of the files.
        prediction: (z, y, x), the predicted one.
        title: what to say of it beside its name, such as its Dice.
    """

    name: str
    image: NDArray[np.float32]
    spacing_mm: tuple[float, float, float]
    reference: NDArray[np.integer]
    prediction: NDArray[np.integer]
    title: str = ""


class _Slices(NamedTuple):
    """The three arrays of a row, (rows, columns), and how they are to be shown."""

    image: NDArray[np.float32]
    reference: NDArray[np.integer]
    prediction: NDArray[np.integer]
    aspect: float  # height of a pixel over its width
    place: str

    @property
    def height(self) -> float:
        """Height of the picture over its width, once pixels have their proportions."""
        rows, columns = self.image.shape
        return float(rows * self.aspect / columns)


def draw_overlays(path: Path, items: Sequence[Overlay], labels: Labels) -> None:
    """Draws each case as image, truth and prediction, on the slice that shows most of its targets.

    Each target counts by the share of its true and predicted voxels that the slice shows, so that a small lesion
    weighs as much as the organ around it, and a handful of false voxels as much as either. Slices are cut across the
    coarsest axis, so they are the ones the scanner resolved best.
    Targets are outlined and tinted; regions may lie inside each other.

    Args:
        path: the PNG to write.
        items: the cases, from top to bottom; at least one.
        labels: what the values of the label maps mean, and which targets to draw.
    """
    from matplotlib.figure import Figure

    rows = [_slices(item, labels) for item in items]
    legend = _legend(rows, labels)
    heights = [min(row.height * WIDTH_INCHES / 3, ROW_INCHES) + 0.3 for row in rows]  # 0.3 for the title
    height = sum(heights) + 0.25 * math.ceil(len(legend) / LEGEND_COLUMNS) + 0.2
    figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained", facecolor="white")
    grid = figure.subplots(len(rows), 3, squeeze=False, height_ratios=heights)
    for item, row, axes in zip(items, rows, grid, strict=True):
        low, high = _window(row, labels)
        for place, role, label_map in zip(axes, ROLES, (None, row.reference, row.prediction), strict=True):
            place.imshow(row.image, cmap="gray", aspect=row.aspect, vmin=low, vmax=high)
            place.text(0.02, 0.98, role, transform=place.transAxes, va="top", fontsize=10, color="white", bbox=PLATE)
            place.set_axis_off()
            if label_map is not None:
                _draw_targets(place, label_map, labels)
        axes[0].set_title(f"{item.name}   {item.title}   ({row.place})", fontsize=10, loc="left")
    if legend:
        columns = min(len(legend), LEGEND_COLUMNS)
        figure.legend(handles=legend, loc="outside lower center", ncols=columns, frameon=False, fontsize=10)
    with atomic_path(path, suffix=".png") as temporary:
        figure.savefig(temporary, dpi=DOTS_PER_INCH)


def _slices(item: Overlay, labels: Labels) -> _Slices:
    # An axis of one voxel, as 2-D images have, can only be cut across.
    axis = int(np.argmin(item.image.shape)) if 1 in item.image.shape else int(np.argmax(item.spacing_mm))
    others = tuple(other for other in range(3) if other != axis)
    seen = _voxels_of_targets(item.reference, labels, axis) + _voxels_of_targets(item.prediction, labels, axis)
    shares = (seen / np.maximum(seen.sum(axis=0), 1)).sum(axis=1)
    index = int(np.argmax(shares)) if shares.any() else len(shares) // 2
    cut: list[int | slice] = [slice(None)] * 3
    cut[axis] = index
    if axis != 0:  # rows are then z, which runs upwards in the patient and downwards on paper
        cut[0] = slice(None, None, -1)
    where = tuple(cut)
    aspect = item.spacing_mm[others[0]] / item.spacing_mm[others[1]]
    place = f"{'zyx'[axis]} = {index}"
    return _Slices(item.image[where], item.reference[where], item.prediction[where], aspect, place)


def _voxels_of_targets(label_map: NDArray[np.integer], labels: Labels, axis: int) -> NDArray[np.int64]:
    """(slices along the axis, targets)."""
    targets = labels.targets.values()
    found = np.zeros((label_map.shape[axis], len(targets)), np.int64)
    for row, one in zip(found, np.moveaxis(label_map, axis, 0), strict=True):
        for value, count in zip(*np.unique(one, return_counts=True), strict=True):
            row += count * np.array([value in values for values in targets])
    return found


def _foreground(label_map: NDArray[np.integer], labels: Labels) -> NDArray[np.bool_]:
    return np.isin(label_map, sorted({value for values in labels.targets.values() for value in values}))


def _window(row: _Slices, labels: Labels) -> tuple[float, float]:
    """The intensities shown as black and white: the range around the foreground, or of the whole slice."""
    inside = np.nonzero(_foreground(row.reference, labels) | _foreground(row.prediction, labels))
    shown = row.image
    if inside[0].size:
        margins = [MARGIN * (along.max() - along.min() + 1) for along in inside]
        shown = shown[
            tuple(
                slice(max(0, int(along.min() - margin)), int(along.max() + margin) + 1)
                for along, margin in zip(inside, margins, strict=True)
            )
        ]
    low, high = np.percentile(shown, (1, 99))
    return float(low), float(high) if high > low else float(low) + 1.0


def _draw_targets(axes: Axes, label_map: NDArray[np.integer], labels: Labels) -> None:
    from matplotlib.colors import to_rgb

    axes.autoscale(False)
    for place, values in enumerate(labels.targets.values()):
        members = np.isin(label_map, values)
        if not members.any():
            continue
        colour, style = _look(place)
        tint = np.zeros((*members.shape, 4))
        tint[members] = (*to_rgb(colour), 0.25)
        axes.imshow(tint, aspect=axes.get_aspect(), interpolation="nearest")
        # A border of background closes the outlines of what touches the edge.
        padded = np.pad(members, 1).astype(float)
        rows, columns = (np.arange(-1, size + 1) for size in members.shape)
        axes.contour(columns, rows, padded, levels=[0.5], colors=[colour], linestyles=[style], linewidths=1.2)


def _legend(rows: Sequence[_Slices], labels: Labels) -> list[Line2D]:
    """A line for each target that is seen."""
    from matplotlib.lines import Line2D

    seen = {int(value) for row in rows for part in (row.reference, row.prediction) for value in np.unique(part)}
    return [
        Line2D([], [], color=_look(place)[0], linestyle=_look(place)[1], linewidth=3, label=target)
        for place, (target, values) in enumerate(labels.targets.items())
        if seen.intersection(values)
    ]


def _look(place: int) -> tuple[str, Literal["-", "--", ":"]]:
    """Colour and line style of the target at a place in the list."""
    rounds, colour = divmod(place, len(COLOURS))
    return COLOURS[colour], LINE_STYLES[rounds % len(LINE_STYLES)]
