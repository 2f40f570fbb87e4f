"""Scoring a folder of predictions.

Comes in: predicted and true label maps on disk, paired by name. Goes out: `Scores`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoseg.dataset.images import IMAGE_ENDINGS, read_label_map, split_ending
from autoseg.dataset.labels import Labels
from autoseg.dataset.mismatch import Part, describe_mismatch
from autoseg.errors import DatasetError
from autoseg.evaluation.case import measure_case
from autoseg.evaluation.measures import Measures
from autoseg.evaluation.scores import MOST_TOLERANCE_MM, TOLERANCE_MM, Scores
from autoseg.evaluation.targets import scored_targets
from autoseg.geometry import Grid
from autoseg.parallel import map_items
from autoseg.phrases import listed
from autoseg.progress import Progress, silent

Missing = Literal["error", "empty", "skip"]


class Pair(NamedTuple):
    """The two label maps of one case.

    Attributes:
        name: of the case.
        prediction: None stands for a map of background.
        reference: the true one.
    """

    name: str
    prediction: Path | None
    reference: Path


def evaluate(
    predictions: str | Path,
    references: str | Path | Mapping[str, Path],
    labels: Labels,
    processes: int | None = None,
    progress: Progress = silent,
    tolerance_mm: float = TOLERANCE_MM,
    missing: Missing = "error",
    regions: Mapping[str, Sequence[int]] | None = None,
) -> Scores:
    """Scores every prediction in a folder against the reference of the same name, by all measures.

    A prediction without a reference is an error: it was meant to be scored. So is a reference without a prediction,
    unless `missing` says what it counts as: a model that fails on hard cases would look the better for it.

    Args:
        predictions: folder of label maps, NAME with any image ending; other files are passed over.
        references: folder of label maps of the same names, or name → file.
        labels: what the values in both mean.
        processes: how many; None takes one a core.
        progress: told of every scored case.
        tolerance_mm: of surface Dice, 0 to `MOST_TOLERANCE_MM`.
        missing: what a reference without a prediction is: an "error"; scored as if nothing was found, "empty"; left
            out and listed in `Scores.unpredicted`, "skip".
        regions: name → values, unions of labels to score besides those of `labels`.

    Raises:
        DatasetError: a folder is absent or holds no label map, a prediction has no reference or a reference no
            prediction, the two maps of a case lie on different grids, one holds a value that is no label, a region
            is not one of labels.
        ValueError: the tolerance is negative, too large, or not a number.
    """
    if not 0 <= tolerance_mm <= MOST_TOLERANCE_MM:
        raise ValueError(f"tolerance of {tolerance_mm} mm; it must be 0 or more, and {MOST_TOLERANCE_MM:g} at most")
    targets = scored_targets(labels, regions)
    pairs, unpredicted = _pairs(predictions, references, missing)
    score = partial(_score, labels=labels, targets=targets, tolerance_mm=tolerance_mm)
    measured = map_items(score, pairs, processes, "scoring", progress, lambda pair: pair.name)
    return Scores(
        tolerance_mm=tolerance_mm,
        averaged=tuple(labels.targets),
        unpredicted=unpredicted if missing == "skip" else (),
        counted_as_empty=unpredicted if missing == "empty" else (),
        cases={pair.name: case for pair, case in zip(pairs, measured, strict=True)},
    )


def label_maps(folder: Path, role: str) -> dict[str, Path]:
    """Name → file, for the label maps in a folder; hidden files, such as those being written, are not seen.

    Args:
        folder: other files in it are passed over.
        role: what the label maps are, in the plural.

    Raises:
        DatasetError: the folder is absent or holds no label map, or two files have the name of one case.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder of {role}. Check the path.")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        name, ending = split_ending(path.name)
        if not ending or path.name.startswith("."):
            continue
        if name in found:
            raise DatasetError(
                f"{folder}: case '{name}' has two files, {found[name].name} and {path.name}. Remove one."
            )
        found[name] = path
    if not found:
        raise DatasetError(
            f"{folder}: no label map among the {role}. A label map is a file whose name ends in "
            f"{', '.join(IMAGE_ENDINGS)}; check the path."
        )
    return found


def _pairs(
    predictions: str | Path, references: str | Path | Mapping[str, Path], missing: Missing
) -> tuple[list[Pair], tuple[str, ...]]:
    """The cases to score, by name, and those without a prediction."""
    found = label_maps(Path(predictions), "predictions")
    expected = references if isinstance(references, Mapping) else label_maps(Path(references), "references")
    given = f"the {len(expected)} {'given' if isinstance(references, Mapping) else f'in {references}'}"
    if unmatched := sorted(set(found) - set(expected)):
        raise DatasetError(
            f"{predictions}: {listed(unmatched)} {'has' if len(unmatched) == 1 else 'have'} no reference among "
            f"{given}. A prediction is named as its reference is; rename it, or take it out of the folder."
        )
    unpredicted = tuple(sorted(set(expected) - set(found)))
    if unpredicted and missing == "error":
        raise DatasetError(
            f"{predictions}: no prediction of {listed(unpredicted)}; there are references of "
            f"{'it' if len(unpredicted) == 1 else 'them'} among {given}. Predict what is missing, or say what it "
            "counts as: --missing empty scores it as if nothing was found, --missing skip leaves it out."
        )
    names = sorted(found if missing == "skip" else expected)
    return [Pair(name, found.get(name), expected[name]) for name in names], unpredicted


def _score(
    pair: Pair, labels: Labels, targets: Mapping[str, Sequence[int]], tolerance_mm: float
) -> dict[str, Measures]:
    reference, grid = read_label_map(pair.reference)
    prediction = np.zeros_like(reference) if pair.prediction is None else _on_grid(pair, grid)
    try:
        return measure_case(prediction, reference, labels, targets, grid.spacing_mm, tolerance_mm)
    except DatasetError as problem:
        files = ", ".join(str(file) for file in (pair.prediction, pair.reference) if file)
        raise DatasetError(f"case '{pair.name}' ({files}): {problem}") from None


def _on_grid(pair: Pair, grid: Grid) -> NDArray[np.integer]:
    """The predicted map, which must lie where the true one does."""
    assert pair.prediction is not None
    prediction, predicted_grid = read_label_map(pair.prediction)
    mismatch = describe_mismatch(
        "prediction and reference",
        [Part("prediction", pair.prediction, predicted_grid), Part("reference", pair.reference, grid)],
    )
    if mismatch:
        raise DatasetError(
            f"case '{pair.name}': {mismatch}\nPredict from the image the reference was drawn on, or resample the "
            "prediction onto the reference's grid (nearest neighbour)."
        )
    return prediction
