"""Predicting many cases into a folder.

Comes in: a predictor and cases. Goes out: NAME.nii.gz a case, and `predictions.json`, the record of
what was made from what. What was made from the same images before is kept; no other file is overwritten.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from autoseg.dataset import Case, read_image, split_ending, write_label_map
from autoseg.errors import AutosegError
from autoseg.files import write_bytes
from autoseg.inference.model import describe_machine
from autoseg.inference.predictor import Predictor
from autoseg.inference.record import Record, claim_folder, describe_sources, is_made, record_files
from autoseg.progress import Progress, Step, silent


class Outcome(NamedTuple):
    """What became of the cases.

    Attributes:
        predicted: how many were predicted now.
        kept: how many were there already.
        failures: one message a case that failed.
    """

    predicted: int
    kept: int
    failures: list[str]


def predict_cases(
    predictor: Predictor,
    cases: Sequence[Case],
    output: Path,
    probabilities: bool = False,
    file_ending: str | None = None,
    progress: Progress = silent,
) -> Outcome:
    """Predicts cases one after another; a bad one does not stop the others.

    Args:
        predictor: the model.
        cases: their names become the names of the files.
        output: folder for the label maps. Predictions of the same images that are there are kept;
            a case whose file is there and is anything else fails.
        probabilities: write NAME.npz too: "probabilities", (outputs, z, y, x), float32.
        file_ending: of the label maps; None gives each the ending of its image.
        progress: told of every finished share of a case.

    Raises:
        AutosegError: the folder holds predictions of another model, or a label map would take the
            place of one of the images.
    """
    targets = [output / f"{case.name}{file_ending or _ending(case)}" for case in cases]
    _spare_the_images(cases, targets)
    output.mkdir(parents=True, exist_ok=True)
    claim_folder(output, _record(predictor))
    made, failures = [], []
    with progress(f"predicting by {predictor.model.stage}", len(cases)) as step:
        for case, target in zip(cases, targets, strict=True):
            with _one_case(step, case.name) as share:
                try:
                    made.append(_predict_case(predictor, case, target, probabilities, share))
                except AutosegError as problem:
                    failures.append(f"case '{case.name}': {problem}")
    return Outcome(made.count(True), made.count(False), failures)


def _predict_case(predictor: Predictor, case: Case, target: Path, probabilities: bool, share: Step) -> bool:
    """Predicts a case unless that has been done; says whether it did."""
    shares_file = target.parent / f"{case.name}.npz"
    files = [target, shares_file] if probabilities else [target]
    sources = describe_sources(case.images)
    if is_made(files, sources):
        return False
    prediction = predictor.predict(read_image(*case.images), probabilities=probabilities, step=share)
    record_files(files, sources)
    if prediction.probabilities is not None:
        packed = io.BytesIO()
        np.savez_compressed(packed, probabilities=prediction.probabilities)
        write_bytes(shares_file, packed.getvalue())
    write_label_map(target, prediction.label_map, prediction.grid)
    return True


@contextmanager
def _one_case(step: Step, name: str) -> Iterator[Step]:
    """Passes shares of a case on; at its end, be it kept or failed, they add up to one."""
    told = 0.0

    def share(done: float, note: str) -> None:
        del note
        nonlocal told
        told += done
        step(done, name)

    yield share
    step(1 - told, name)


def _spare_the_images(cases: Sequence[Case], targets: Sequence[Path]) -> None:
    images = {path.resolve() for case in cases for path in case.images}
    for target in targets:
        if target.resolve() in images:
            raise AutosegError(
                f"{target}: one of the images to predict, and its label map would get the same name. "
                "Give another output folder."
            )


def _record(predictor: Predictor) -> Record:
    model = predictor.model
    return Record(
        plan=model.plan.name,
        stage=model.stage,
        folds=len(predictor.networks),
        trained=model.machine.get("date", ""),
        mirrored=predictor.mirror,
        labels=model.plan.dataset.labels,
        machine=describe_machine(predictor.device),
    )


def _ending(case: Case) -> str:
    return split_ending(case.images[0].name)[1]
