"""`autoseg evaluate`: how good predictions are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from autoseg.cli.display import progress, say, set_verbosity, show
from autoseg.cli.options import Jobs, Quiet, Verbose

if TYPE_CHECKING:
    from autoseg.dataset import Labels

Missing = Literal["error", "empty", "skip"]


def evaluate(
    predictions: Annotated[Path, typer.Argument(metavar="PREDICTIONS", help="Folder of predicted label maps.")],
    references: Annotated[Path, typer.Argument(metavar="REFERENCES", help="Folder of true label maps, or a dataset.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="scores.json", help="Writes all scores there, and a CSV beside it."),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(metavar="MM", callback=_millimetres, help="Of surface Dice: how far is near enough.")
    ] = 2.0,
    missing: Annotated[
        Missing,
        typer.Option(help="A reference without a prediction: stop, score it as if nothing was found, or leave it out."),
    ] = "error",
    region: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=1,2", help="Scores the union of these labels, too; may be given several times."),
    ] = None,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Scores label maps against the truth, case by case and label by label.

    Measures overlap, surfaces, volumes and lesions; scores.json says how each measure is defined.

    What the labels are called is read from predictions.json, which 'autoseg predict' writes, or from the dataset.
    """
    set_verbosity(quiet, verbose)
    regions = dict(_region(text) for text in region or ())
    if len(regions) < len(region or ()):
        raise typer.BadParameter("two regions have one name", param_hint="--region")
    from autoseg.evaluation import check_target
    from autoseg.evaluation import evaluate as score
    from autoseg.reporting import score_table

    if output:
        check_target(output)
    truth, labels = _references(predictions, references)
    scores = score(predictions, truth, labels, jobs, progress, tolerance, missing, regions)
    show(score_table(scores))
    if output:
        scores.write(output)
        say(f"Scores: {output}")


def _references(predictions: Path, references: Path) -> tuple[Path | dict[str, Path], Labels]:
    """The true label maps, and what their values mean."""
    from autoseg.dataset import Dataset
    from autoseg.errors import AutosegError
    from autoseg.inference.record import read_labels

    for folder in (predictions, references):
        if not folder.is_dir():
            raise AutosegError(f"{folder}: no such folder. Give a folder of label maps.")
    holder = next((folder for folder in (references, references.parent) if (folder / "dataset.json").is_file()), None)
    if holder is None and any(references.glob("case_*/segmentation.nii.gz")):
        holder = references
    recorded = read_labels(predictions)
    if holder is None and recorded is None:
        raise AutosegError(
            f"{predictions}: nothing says what the labels are called. Give a dataset as REFERENCES, "
            "or predictions made by 'autoseg predict'."
        )
    if holder is None:
        assert recorded is not None
        return references, recorded
    dataset = Dataset.open(holder)
    labels = recorded or dataset.description.labels
    if holder == references:
        return {case.name: case.label for case in dataset.cases if case.label}, labels
    return references, labels


def _region(text: str) -> tuple[str, tuple[int, ...]]:
    """NAME=1,2 in its parts."""
    name, _, values = text.partition("=")
    numbers = [value.strip() for value in values.split(",")]
    if not name.strip() or not all(re.fullmatch(r"-?[0-9]+", number) for number in numbers):
        raise typer.BadParameter(f"'{text}' is not NAME=VALUE,VALUE,…, such as organ=1,2", param_hint="--region")
    return name.strip(), tuple(map(int, numbers))


def _millimetres(number: float) -> float:
    from autoseg.evaluation.scores import MOST_TOLERANCE_MM

    if not 0 <= number <= MOST_TOLERANCE_MM:
        raise typer.BadParameter(f"{number:g} is not a number of mm, 0 or more and {MOST_TOLERANCE_MM:g} at most")
    return abs(number)  # not -0
