"""`autoseg train`: one model."""

from __future__ import annotations

from typing import Annotated

import typer

from autoseg.cli.display import progress, set_verbosity
from autoseg.cli.options import (
    DatasetPath,
    Device,
    GroupBy,
    Jobs,
    PlanName,
    Quiet,
    Settings,
    Split,
    StageName,
    Stratify,
    Verbose,
    Workers,
    WorkspacePath,
    open_workspace,
    parse_fold,
)
from autoseg.cli.results import show_model
from autoseg.cli.together import is_first, together


def train(
    dataset: DatasetPath,
    workspace: WorkspacePath = None,
    stage: StageName = None,
    fold: Annotated[str, typer.Option(metavar="0..4|all", help="Which fifth of the cases to validate on.")] = "0",
    group_by: GroupBy = None,
    stratify: Stratify = False,
    split: Split = None,
    plan: PlanName = "default",
    settings: Settings = None,
    device: Device = None,
    workers: Workers = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write the log for TensorBoard, too.")] = False,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Trains one fold of a stage by a plan that 'autoseg plan' made, and scores it on whole cases.

    A stage that builds on what another predicts has all folds of that one trained first, those that are not yet.

    Interrupted (Ctrl-C), it stops with a checkpoint; then, and after a kill, the same command goes on from the last.
    A finished model is trained on with --set …training.epochs (or minutes) above its own. Several processes train one
    model when torchrun starts them: torchrun --nproc-per-node 2 -m autoseg train …
    """
    set_verbosity(quiet or not is_first(), verbose)
    from autoseg.dataset import Dataset
    from autoseg.training import processes
    from autoseg.workflow.folds import record_asked_folds
    from autoseg.workflow.pipeline import list_jobs, run_job
    from autoseg.workflow.planning import changed_plan
    from autoseg.workflow.workspace import find_stage

    number = parse_fold(fold)
    opened = Dataset.open(dataset)
    space = open_workspace(opened, workspace)
    chosen = changed_plan(space, plan, settings or ())
    name = find_stage(chosen, stage)
    with together(device, chosen.budget.device) as own:
        if is_first():  # the others would write the same files
            record_asked_folds(opened, space, group_by, stratify, split, jobs, progress)
        processes.wait()
        todo = list_jobs(opened, chosen, space, name, [number])
        for job in todo:
            folder = run_job(job, opened, chosen, space, own, workers, jobs, progress, tensorboard)
            if is_first() and (job is todo[-1] or not job.done):
                show_model(opened, folder)
