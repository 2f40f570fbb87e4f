"""`autoseg run`: the whole path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from autoseg.cli.display import progress, say, set_verbosity
from autoseg.cli.options import (
    DatasetPath,
    Device,
    Devices,
    DryRun,
    Folds,
    GroupBy,
    Jobs,
    LabelNames,
    Like,
    Memory,
    Minutes,
    NewPlanName,
    Place,
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
    parse_folds,
    parse_place,
)
from autoseg.cli.results import PICTURE, show_jobs, show_model, show_selection

if TYPE_CHECKING:
    from autoseg.dataset import Dataset
    from autoseg.plan import Plan
    from autoseg.workflow.engine import Task
    from autoseg.workflow.pipeline import ModelJob
    from autoseg.workflow.workspace import Workspace


def run(
    dataset: DatasetPath,
    workspace: WorkspacePath = None,
    stage: StageName = None,
    folds: Folds = None,
    group_by: GroupBy = None,
    stratify: Stratify = False,
    split: Split = None,
    device: Device = None,
    devices: Devices = None,
    memory: Memory = None,
    minutes: Minutes = None,
    preset: Preset = None,
    timings: Timings = None,
    like: Like = None,
    labels: LabelNames = None,
    settings: Settings = None,
    name: NewPlanName = "default",
    dry_run: DryRun = False,
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
    from autoseg.workflow.planning import may_have_stage

    asked, place = parse_folds(folds), parse_place(device, devices)
    request = make_request(place.kind, memory, minutes, settings, like, preset, timings, labels)
    opened = Dataset.open(dataset)
    space = open_workspace(opened, workspace)
    if stage:
        may_have_stage(space, name, request, stage)
    opened = record_asked_folds(opened, space, group_by, stratify, split, jobs, progress, record=not dry_run)
    if opened.cases:  # or else the check has more to say
        chosen_folds(opened, space, asked)  # what cannot be trained is told before anything is read
    plan = plan_dataset(opened, space, request, name, jobs, progress)
    say(f"Plan: {space.plan_file(name)} (why: autoseg plan {dataset} -w {space.path} --name {name} --explain)")
    todo = list_jobs(opened, plan, space, stage, asked)
    show_jobs(todo, plan, space, selects=asked is None)
    if not dry_run:
        tasks = make_tasks(todo, opened, plan, space, workers, jobs, progress)
        do_all(tasks, todo, opened, plan, space, place)
        if asked is None:
            select_best(todo, opened, plan, space, place, jobs)


def do_all(
    tasks: Sequence[Task], todo: Sequence[ModelJob], dataset: Dataset, plan: Plan, workspace: Workspace, place: Place
) -> None:
    """Does tasks, one after another or on several devices at once, and shows each model that was not shown before.

    Args:
        tasks: each may need others.
        todo: the models among them; other tasks prepare cases.
        dataset: to train on.
        plan: to train by.
        workspace: of the dataset; what is said on several devices goes to its logs.
        place: what to compute on.

    Raises:
        AutosegError: some failed; the message names every one.
    """
    from autoseg.workflow.engine import in_turn, on_devices

    folders = {job: workspace.fold_folder(plan, job.stage, job.fold) for job in todo}
    models = {job.name: folder for job, folder in folders.items() if not (job.done and (folder / PICTURE).is_file())}

    def told(name: str, state: str) -> None:
        if state != "done" or place.several:
            say(f"{name}: {state}")
        if state == "done" and name in models:
            show_model(dataset, models[name])

    logs = workspace.logs_folder(plan.name)
    engine = on_devices(place.several, logs, told) if place.several else in_turn(place.device, told)
    engine(tasks).must_be_nothing(len(tasks))


def select_best(
    todo: Sequence[ModelJob], dataset: Dataset, plan: Plan, workspace: Workspace, place: Place, jobs: int | None
) -> None:
    """Selects among what is trained, where anything that can be compared is."""
    from autoseg.workflow.selecting import select
    from autoseg.workflow.trained import trained_folds

    if any(trained_folds(workspace, plan, job.stage) for job in todo):
        device = place.several[0] if place.several else place.device
        show_selection(select(dataset, plan, workspace, device, jobs, progress), workspace)
