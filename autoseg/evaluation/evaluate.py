"""Scoring a folder of predictions.

Comes in: predicted and true label maps on disk, paired by name. Goes out: `Scores`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from autoseg.dataset.images import IMAGE_ENDINGS, read_label_map, split_ending
from autoseg.dataset.labels import Labels
from autoseg.dataset.mismatch import Part, describe_mismatch
from autoseg.errors import DatasetError
from autoseg.evaluation.dice import dice_per_target
from autoseg.evaluation.scores import Scores
from autoseg.parallel import map_items
from autoseg.progress import Progress, silent


class Pair(NamedTuple):
    """The two label maps of one case."""

    name: str
    prediction: Path
    reference: Path


def evaluate(
    predictions: str | Path,
    references: str | Path | Mapping[str, Path],
    labels: Labels,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Scores:
    """Scores every prediction in a folder against the reference of the same name.

    A prediction without a reference is an error: it was meant to be scored. A reference without
    a prediction is none, for `labelsTr/` holds all cases and a fold predicts some of them; those
    cases are listed in `Scores.unpredicted`, so that nobody takes a part for the whole.

    Args:
        predictions: folder of label maps, NAME with any image ending; other files are passed over.
        references: folder of label maps of the same names, or name → file.
        labels: what the values in both mean.
        jobs: processes; None takes one a core.
        progress: told of every scored case.

    Raises:
        DatasetError: a folder is absent or holds no label map, a prediction has no reference, the
            two maps of a case lie on different grids, or one holds a value that is no label.
    """
    found = _label_maps(Path(predictions), "predictions")
    expected = references if isinstance(references, Mapping) else _label_maps(Path(references), "references")
    unmatched = sorted(set(found) - set(expected))
    if unmatched:
        raise DatasetError(
            f"{predictions}: {_listed(unmatched)} {'has' if len(unmatched) == 1 else 'have'} no reference "
            f"among the {len(expected)} {'given' if isinstance(references, Mapping) else f'in {references}'}. "
            "A prediction is named as its reference is; rename it, or take it out of the folder."
        )
    pairs = [Pair(name, found[name], expected[name]) for name in sorted(found)]
    scores = map_items(partial(_score, labels=labels), pairs, jobs, "scoring", progress, lambda pair: pair.name)
    return Scores(
        dice={pair.name: score for pair, score in zip(pairs, scores, strict=True)},
        unpredicted=tuple(sorted(set(expected) - set(found))),
    )


def _label_maps(folder: Path, role: str) -> dict[str, Path]:
    """Name → file, for the images in a folder; hidden files, such as those being written, are not seen."""
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


def _score(pair: Pair, labels: Labels) -> dict[str, float | None]:
    prediction, predicted_grid = read_label_map(pair.prediction)
    reference, true_grid = read_label_map(pair.reference)
    mismatch = describe_mismatch(
        "prediction and reference",
        [Part("prediction", pair.prediction, predicted_grid), Part("reference", pair.reference, true_grid)],
    )
    if mismatch:
        raise DatasetError(
            f"case '{pair.name}': {mismatch}\nPredict from the image the reference was drawn on, or resample the "
            "prediction onto the reference's grid (nearest neighbour)."
        )
    try:
        return dice_per_target(prediction, reference, labels)
    except DatasetError as problem:
        raise DatasetError(f"case '{pair.name}' ({pair.prediction}, {pair.reference}): {problem}") from None


def _listed(names: Collection[str]) -> str:
    first = ", ".join(list(names)[:5])
    return f"{first} and {len(names) - 5} more" if len(names) > 5 else first
