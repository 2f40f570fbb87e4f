"""`autoseg check`: what keeps a dataset from being trained on."""

from __future__ import annotations

import typer

from autoseg.cli.display import progress, say, set_verbosity, show
from autoseg.cli.options import DatasetPath, Jobs, Quiet, Verbose
from autoseg.phrases import counted


def check(dataset: DatasetPath, jobs: Jobs = None, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Reads every case and names those that cannot be trained on, why, and the remedy.

    Exit code 0 if the dataset can be trained on, 1 if it cannot.
    """
    set_verbosity(quiet, verbose)
    from autoseg.dataset import Dataset, can_train, check_dataset

    opened = Dataset.open(dataset, lenient=True)  # what is wrong with dataset.json is a finding like the others
    findings = check_dataset(opened, jobs, progress)
    for finding in findings:
        show(str(finding))
    errors = sum(finding.severity == "error" for finding in findings)
    warnings = len(findings) - errors
    counts = ((len(opened.cases), "case"), (errors, "error"), (warnings, "warning"))
    cases, *found = (counted(count, noun) for count, noun in counts)
    say(f"{cases} read: {', '.join(found)}.")
    if not can_train(findings):
        raise typer.Exit(1)
