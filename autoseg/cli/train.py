"""`autoseg train`: one model."""

from __future__ import annotations

from typing import Annotated

import typer

from autoseg.cli.display import progress, set_verbosity
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
    open_workspace,
    parse_fold,
)
from autoseg.cli.results import show_model


def train(
    dataset: DatasetPath,
    workspace: WorkspacePath = None,
    stage: StageName = None,
    fold: Annotated[str, typer.Option(metavar="0..4|all", help="Which fifth of the cases to validate on.")] = "0",
    plan: PlanName = "default",
    settings: Settings = None,
    device: Device = None,
    workers: Workers = None,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Trains one fold of a stage by a plan that 'autoseg plan' made, and scores it on whole cases.

    Killed or interrupted, it goes on from the last finished epoch when it is run again.
    """
    set_verbosity(quiet, verbose)
    from autoseg.dataset import Dataset
    from autoseg.workflow.pipeline import list_jobs, run_job
    from autoseg.workflow.planning import changed_plan
    from autoseg.workflow.workspace import find_stage

    number = parse_fold(fold)
    opened = Dataset.open(dataset)
    space = open_workspace(opened, workspace)
    chosen = changed_plan(space, plan, settings or ())
    [job] = list_jobs(opened, chosen, space, find_stage(chosen, stage), [number])
    show_model(opened, run_job(job, opened, chosen, space, device, workers, jobs, progress))
