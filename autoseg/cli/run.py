"""`autoseg run`: the whole path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from autoseg.cli.display import progress, say, set_verbosity, show
from autoseg.cli.options import (
    DatasetPath,
    Device,
    GroupBy,
    Jobs,
    LabelNames,
    Like,
    Memory,
    Minutes,
    NewPlanName,
    Preset,
    Quiet,
    Settings,
    Split,
    StageName,
    Stratify,
    Timings,
    Verbose,
    Workers,
    WorkspacePath,
    make_request,
    open_workspace,
    parse_fold,
)
from autoseg.cli.results import show_model
from autoseg.cli.status import in_time

if TYPE_CHECKING:
    from autoseg.plan import Plan
    from autoseg.workflow.workspace import Workspace


def run(
    dataset: DatasetPath,
    workspace: WorkspacePath = None,
    stage: StageName = None,
    folds: Annotated[
        str | None,
        typer.Option(metavar="0,1,…", help="Folds to train; 'all' is one model of all cases. [default: each fold]"),
    ] = None,
    group_by: GroupBy = None,
    stratify: Stratify = False,
    split: Split = None,
    device: Device = None,
    memory: Memory = None,
    minutes: Minutes = None,
    preset: Preset = None,
    timings: Timings = None,
    like: Like = None,
    labels: LabelNames = None,
    settings: Settings = None,
    name: NewPlanName = "default",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plans, lists what would be trained, and stops.")] = False,
    workers: Workers = None,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Checks, fingerprints, plans, preprocesses, trains, scores and selects, skipping what is done.

    Without --stage every stage of the plan is trained; without --folds the best of what is trained is selected at the
    end. Interrupted, it is continued by the same command.
    """
    set_verbosity(quiet, verbose)
    from autoseg.dataset import Dataset
    from autoseg.reporting.selection_table import selection_table
    from autoseg.workflow.folds import ask_folds
    from autoseg.workflow.pipeline import chosen_folds, list_jobs, plan_dataset, run_job
    from autoseg.workflow.selecting import select
    from autoseg.workflow.trained import trained_folds

    asked = None if folds is None else [parse_fold(fold.strip(), "--folds") for fold in folds.split(",")]
    request = make_request(device, memory, minutes, settings, like, preset, timings, labels)
    opened = Dataset.open(dataset)
    space = open_workspace(opened, workspace)
    ask_folds(opened, space, group_by, stratify, jobs, progress, split)
    if opened.cases:  # or else the check has more to say
        chosen_folds(opened, space, asked)  # what cannot be trained is told before anything is read
    plan = plan_dataset(opened, space, request, name, jobs, progress)
    say(f"Plan: {space.plan_file(name)} (why: autoseg plan {dataset} -w {space.path} --name {name} --explain)")
    todo = list_jobs(opened, plan, space, stage, asked)
    for job in todo:
        length = plan.stages[job.stage].training
        count, unit = (length.minutes, "minute") if length.minutes else (length.epochs, "epoch")
        time = f"{count:g} {unit}{'s' * (count != 1)}"
        say(f"  {job.stage}, fold {job.fold}: {'trained already' if job.done else f'to train, {time}'}")
    total = time_to_train(space, plan, [job.stage for job in todo if not job.done])
    if total:
        say(f"  {total}, besides preprocessing and scoring")
    if dry_run:
        return
    where = None if device == "auto" else device  # the plan says what is best here
    for job in todo:
        show_model(opened, run_job(job, opened, plan, space, where, workers, jobs, progress))
    if asked is None and any(trained_folds(space, plan, job.stage) for job in todo):
        selection = select(opened, plan, space, where, jobs, progress)
        show(selection_table(selection))
        say(f"Selection: {space.selection_file(plan.name)} (autoseg predict {space.path} uses it)")


def time_to_train(space: Workspace, plan: Plan, stages: Sequence[str]) -> str:
    """How long models of these stages train in all; nothing where nobody knows."""
    from autoseg.workflow.status import expected_minutes

    known = [minutes for stage in stages if (minutes := expected_minutes(space, plan, stage)) is not None]
    if not known:
        return ""
    more = f", and {len(stages) - len(known)} models more" * (len(known) < len(stages))
    return f"about {in_time(sum(known))} of training in all{more}"
