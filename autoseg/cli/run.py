"""`autoseg run`: the whole path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autoseg.cli.display import progress, say, set_verbosity
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
    parse_devices,
    parse_fold,
    unless_auto,
)
from autoseg.cli.results import show_jobs, show_model, show_selection

if TYPE_CHECKING:
    from autoseg.workflow.engine import Task


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
    devices: Annotated[
        str | None,
        typer.Option(
            metavar="cuda:0,cuda:1,…|all",
            help="Trains as many models at a time, one on each; what they say goes to files. [default: one at a time]",
        ),
    ] = None,
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
    end. Interrupted, it is continued by the same command. A model that fails stops only those that build on it; what
    failed is listed at the end, with exit code 2.
    """
    set_verbosity(quiet, verbose)
    from autoseg.dataset import Dataset
    from autoseg.workflow.folds import record_asked_folds
    from autoseg.workflow.pipeline import chosen_folds, list_jobs, make_tasks, plan_dataset
    from autoseg.workflow.selecting import select
    from autoseg.workflow.trained import trained_folds

    asked = None if folds is None else [parse_fold(fold.strip(), "--folds") for fold in folds.split(",")]
    if device and devices:
        raise typer.BadParameter("give --device or --devices, not both")
    several = () if devices is None else parse_devices(devices)
    kind = several[0].partition(":")[0] if several else device
    request = make_request(kind, memory, minutes, settings, like, preset, timings, labels)
    opened = Dataset.open(dataset)
    space = open_workspace(opened, workspace)
    opened = record_asked_folds(opened, space, group_by, stratify, split, jobs, progress, record=not dry_run)
    if opened.cases:  # or else the check has more to say
        chosen_folds(opened, space, asked)  # what cannot be trained is told before anything is read
    plan = plan_dataset(opened, space, request, name, jobs, progress)
    say(f"Plan: {space.plan_file(name)} (why: autoseg plan {dataset} -w {space.path} --name {name} --explain)")
    todo = list_jobs(opened, plan, space, stage, asked)
    show_jobs(todo, plan, space, selects=asked is None)
    if dry_run:
        return
    where = unless_auto(device)
    models = {job.name: space.fold_folder(plan, job.stage, job.fold) for job in todo}

    def show(task: str) -> None:
        if task in models:  # another task prepares cases
            show_model(opened, models[task])

    do_all(
        make_tasks(todo, opened, plan, space, workers, jobs, progress), where, several, space.logs_folder(name), show
    )
    if asked is None and any(trained_folds(space, plan, job.stage) for job in todo):
        show_selection(select(opened, plan, space, several[0] if several else where, jobs, progress), space)


def do_all(
    tasks: Sequence[Task],
    device: str | None,
    several: Sequence[str],
    logs: Path,
    show: Callable[[str], None],
) -> None:
    """Does tasks, and tells of each; one after another on a device, or on several at once.

    Args:
        tasks: each may need others.
        device: None for the plan's.
        several: devices, in place of one.
        logs: where those write what they have to say.
        show: a task that is done, by its name.

    Raises:
        AutosegError: some failed; the message names every one.
    """
    from autoseg.workflow.engine import in_turn, on_devices

    def told(name: str, state: str) -> None:
        if state != "done" or several:
            say(f"{name}: {state}")
        if state == "done":
            show(name)

    engine = on_devices(several, logs, told) if several else in_turn(device, told)
    engine(tasks).must_be_nothing(len(tasks))
