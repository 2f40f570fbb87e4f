"""`autoseg lr-range`: which learning rates a stage learns with."""

from __future__ import annotations

from typing import Annotated

import typer

from autoseg.cli.display import progress, say, set_verbosity, show
from autoseg.cli.options import (
    DatasetPath,
    Device,
    Jobs,
    PlanName,
    Quiet,
    Settings,
    StageName,
    Verbose,
    Workers,
    WorkspacePath,
    above_zero,
    open_workspace,
    parse_fold,
)


def lr_range(
    dataset: DatasetPath,
    workspace: WorkspacePath = None,
    stage: StageName = None,
    fold: Annotated[str, typer.Option(metavar="0..4|all", help="On the training cases of which fold.")] = "0",
    first: Annotated[
        float, typer.Option("--from", metavar="RATE", callback=above_zero, help="The lowest learning rate.")
    ] = 1e-6,
    last: Annotated[
        float, typer.Option("--to", metavar="RATE", callback=above_zero, help="The highest learning rate.")
    ] = 1.0,
    iterations: Annotated[int, typer.Option(metavar="N", min=10, help="Steps from one to the other.")] = 100,
    plan: PlanName = "default",
    settings: Settings = None,
    device: Device = None,
    workers: Workers = None,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Finds a learning rate: trains a little, with a rate that rises from step to step, and looks at the loss.

    The rate suggested is a tenth of the one at which the loss, averaged over the latest steps, is lowest. Trained
    models are left alone.
    """
    set_verbosity(quiet, verbose)
    if last <= first:
        raise typer.BadParameter(f"--to {last:g} must be above --from {first:g}")
    from autoseg.dataset import Dataset
    from autoseg.reporting.lr_range import draw_rate_range
    from autoseg.workflow.lr_range import measure_rate_range
    from autoseg.workflow.planning import changed_plan
    from autoseg.workflow.workspace import find_stage

    number = parse_fold(fold)
    opened = Dataset.open(dataset)
    space = open_workspace(opened, workspace)
    chosen = changed_plan(space, plan, settings or ())
    name = find_stage(chosen, stage)
    found, record = measure_rate_range(
        opened, chosen, name, number, space, (first, last), iterations, device, workers, jobs, progress
    )
    picture = record.with_suffix(".png")
    draw_rate_range(picture, found, f"{chosen.dataset.name} · {name} · {chosen.stages[name].optimizer.kind}")
    say(f"Range test: {record}, {picture}")
    if found.best is None:
        show(f"The loss did not fall between {first:g} and {last:g}. Try more steps (--iterations) or other rates.")
        return
    if found.suggestion is None:
        show(
            f"No rate was found: at {last:g} the loss still falls. Test higher rates (--to {10 * last:g}), or take "
            f"more steps on the way (--iterations {2 * iterations})."
        )
        return
    show(f"Suggested: --set stages.{name}.optimizer.learning_rate={found.suggestion:g}")
