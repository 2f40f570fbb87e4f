"""Predicting many cases into a folder.

Comes in: a predictor and cases. Goes out: NAME.nii.gz a case, and `predictions.json`, which says
by which model they were made and what their values mean. What is there already is kept.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from autoseg.dataset import Case, Labels, read_image, split_ending, write_label_map
from autoseg.errors import AutosegError
from autoseg.files import read_json, write_bytes, write_json
from autoseg.inference.model import describe_machine
from autoseg.inference.predictor import Predictor
from autoseg.progress import Progress, silent

RECORD = "predictions.json"


def predict_cases(
    predictor: Predictor,
    cases: Sequence[Case],
    output: Path,
    probabilities: bool = False,
    file_ending: str | None = None,
    progress: Progress = silent,
) -> list[str]:
    """Predicts cases one after another; a bad one does not stop the others.

    Args:
        predictor: the model.
        cases: their names become the names of the files.
        output: folder for the label maps. Predictions that are there are not made again.
        probabilities: write NAME.npz too: "probabilities", (outputs, z, y, x), float32.
        file_ending: of the label maps; None gives each the ending of its image.
        progress: told of every finished case.

    Returns:
        One message a case that failed; empty if all is well.

    Raises:
        AutosegError: the folder holds predictions of another model.
    """
    output.mkdir(parents=True, exist_ok=True)
    _claim(output, predictor)
    failures = []
    with progress(f"predicting by {predictor.model.stage}", len(cases)) as step:
        for case in cases:
            target = output / f"{case.name}{file_ending or _ending(case)}"
            try:
                _predict_case(predictor, case, target, probabilities)
            except AutosegError as problem:
                failures.append(f"case '{case.name}': {problem}")
            step(1, case.name)
    return failures


def read_labels(output: Path) -> Labels | None:
    """What the values of predictions in a folder mean; None where nobody recorded it.

    Raises:
        AutosegError: the record is broken.
    """
    path = output / RECORD
    if not path.is_file():
        return None
    try:
        return Labels.model_validate(read_json(path)["labels"])
    except (KeyError, TypeError, ValidationError):
        raise _broken(path) from None


def _predict_case(predictor: Predictor, case: Case, target: Path, probabilities: bool) -> None:
    shares_file = target.parent / f"{case.name}.npz"
    if target.is_file() and (shares_file.is_file() or not probabilities):
        return
    prediction = predictor.predict(read_image(*case.images), probabilities=probabilities)
    if prediction.probabilities is not None:
        packed = io.BytesIO()
        np.savez_compressed(packed, probabilities=prediction.probabilities)
        write_bytes(shares_file, packed.getvalue())
    write_label_map(target, prediction.label_map, prediction.grid)


def _claim(output: Path, predictor: Predictor) -> None:
    """Records the model that fills the folder; refuses one that another model has filled."""
    model = predictor.model
    record = {
        "format": 1,
        "plan": model.plan.name,
        "stage": model.stage,
        "folds": len(predictor.networks),
        "trained": model.machine.get("date", ""),
        "mirrored": predictor.mirror,
        "labels": model.plan.dataset.labels.model_dump(mode="json"),
    }
    path = output / RECORD
    if path.is_file():
        before = read_json(path)
        if not isinstance(before, dict):
            raise _broken(path)
        changed = [key for key, value in record.items() if before.get(key) != value]
        if changed:
            key = changed[0]
            raise AutosegError(
                f"{output}: holds predictions of another model ({key}: {before.get(key)} there, {record[key]} now). "
                "Give another output folder, or remove that one."
            )
        return
    write_json(path, {**record, "machine": describe_machine(predictor.device)})


def _broken(path: Path) -> AutosegError:
    return AutosegError(f"{path}: not a record of predictions. Remove it, or predict into a fresh folder.")


def _ending(case: Case) -> str:
    return split_ending(case.images[0].name)[1]
