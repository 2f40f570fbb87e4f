"""A picture of some of the cases that were scored: the worst, the best, and those between.

Comes in: cases with label maps, a folder of predictions, their scores. Goes out: a PNG.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autoseg.dataset import Case, Labels, named_like, read_image, read_label_map
from autoseg.evaluation import Scores
from autoseg.reporting.overlay import Overlay, draw_overlays

if TYPE_CHECKING:
    import pandas as pd

ROWS = 4


def draw_cases(path: Path, cases: Sequence[Case], predictions: Path, scores: Scores, labels: Labels) -> None:
    """Draws up to four scored cases, from the worst to the best, each with its Dice and that of its worst target.

    Args:
        path: of the PNG.
        cases: with their images and label maps; those without scores are passed over.
        predictions: folder of the predicted label maps, named after the cases.
        scores: decide which cases are shown.
        labels: names of what is drawn.
    """
    table = scores.table()
    means = table.mean(axis=1).dropna().sort_values()
    by_name = {case.name: case for case in cases}
    chosen = [str(means.index[place]) for place in spread(len(means), ROWS)]
    overlays = [
        _overlay(by_name[name], predictions, _title(table.T[name].dropna()))
        for name in chosen
        if name in by_name and by_name[name].label
    ]
    if overlays:
        draw_overlays(path, overlays, labels)


def _title(dice: pd.Series[float]) -> str:
    worst = f", {dice.idxmin()} {dice.min():.3f}" if len(dice) > 1 else ""
    return f"Dice {dice.mean():.3f}{worst}"


def spread(count: int, most: int) -> list[int]:
    """At most `most` of the places 0…count-1, evenly spread, the first and the last among them.

    >>> spread(10, 4)
    [0, 3, 6, 9]
    >>> spread(2, 4)
    [0, 1]
    """
    return sorted({round(place) for place in np.linspace(0, count - 1, min(most, count))}) if count else []


def _overlay(case: Case, predictions: Path, title: str) -> Overlay:
    assert case.label is not None
    image = read_image(*case.images)
    reference, _ = read_label_map(case.label)
    prediction, _ = read_label_map(predictions / named_like(case.name, case.label))
    return Overlay(case.name, image.array[0], image.grid.spacing_mm, reference, prediction, title)
