"""`autoseg evaluate`: how good predictions are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autoseg.cli.display import progress, say, set_verbosity, show
from autoseg.cli.options import Jobs, Quiet, Verbose

if TYPE_CHECKING:
    from autoseg.dataset import Labels


def evaluate(
    predictions: Annotated[Path, typer.Argument(metavar="PREDICTIONS", help="Folder of predicted label maps.")],
    references: Annotated[Path, typer.Argument(metavar="REFERENCES", help="Folder of true label maps, or a dataset.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="scores.json", help="Writes all scores there, and a CSV beside it."),
    ] = None,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Scores label maps against the truth, case by case and label by label.

    What the labels are called is read from predictions.json, which 'autoseg predict' writes, or from the dataset.
    """
    set_verbosity(quiet, verbose)
    from autoseg.evaluation import evaluate as score
    from autoseg.reporting import score_table

    truth, labels = _references(predictions, references)
    scores = score(predictions, truth, labels, jobs, progress)
    show(score_table(scores))
    if output:
        scores.write(output)
        say(f"Scores: {output}")


def _references(predictions: Path, references: Path) -> tuple[Path | dict[str, Path], Labels]:
    """The true label maps, and what their values mean."""
    from autoseg.dataset import Dataset
    from autoseg.errors import AutosegError
    from autoseg.inference import read_labels

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
