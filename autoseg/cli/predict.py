"""`autoseg predict`: label maps for images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autoseg.cli.display import complain, progress, say, set_verbosity
from autoseg.cli.options import Device, Quiet, Verbose


def predict(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="A workspace, or its models/PLAN: what 'autoseg select' found best. Or the folder of a "
            "stage, whose folds are averaged, or of a fold.",
        ),
    ],
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="Image files, folders of images, or a dataset.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the label maps.")],
    no_tta: Annotated[
        bool, typer.Option("--no-tta", help="No mirrored views: several times faster, a little less accurate.")
    ] = False,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Writes NAME.npz too: one channel a class or region.")
    ] = False,
    device: Device = None,
    max_memory: Annotated[
        float | None,
        typer.Option("--max-memory", metavar="GB", min=0.1, help="Memory to keep below. Default: what is free."),
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Segments images: NAME.nii.gz for NAME_0000.nii.gz, on the image's own grid.

    What was predicted from the same images before is kept. Exit code 1 if some images failed; the others are done.
    """
    set_verbosity(quiet, verbose)
    from autoseg.dataset import find_cases
    from autoseg.inference.folder import predict_cases
    from autoseg.workflow.predicting import load_team

    team = load_team(model, device or "auto", mirror=not no_tta)
    cases = find_cases(inputs, len(team.channels))
    predicted, kept, failures = predict_cases(
        team, cases, output, probabilities, progress=progress, max_memory_gb=max_memory
    )
    for failure in failures:
        complain(failure)
    say(f"{predicted} predicted, {kept} kept, {len(failures)} failed: {output}")
    if failures:
        raise typer.Exit(1)
