"""`autoseg plan`: decide everything about the models of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autoseg.cli.display import progress, say, set_verbosity, show
from autoseg.cli.options import (
    DatasetPath,
    Device,
    Jobs,
    LabelNames,
    Like,
    Memory,
    Minutes,
    NewPlanName,
    Preset,
    Quiet,
    Settings,
    Timings,
    Verbose,
    WorkspacePath,
    make_request,
    open_workspace,
)


def plan(
    dataset: DatasetPath,
    workspace: WorkspacePath = None,
    device: Device = None,
    memory: Memory = None,
    minutes: Minutes = None,
    preset: Preset = None,
    timings: Timings = None,
    like: Like = None,
    labels: LabelNames = None,
    settings: Settings = None,
    name: NewPlanName = "default",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Writes the plan there as well.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Prints every decision and why.")] = False,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Derives a plan from the dataset's fingerprint and a budget.

    DATASET may also be a folder with nothing but nnU-Net's dataset.json and dataset_fingerprint.json.

    With --minutes the candidate networks are timed on this machine, and one is chosen that it can
    really train in the time.
    """
    set_verbosity(quiet, verbose)
    from autoseg.plan import write_plan
    from autoseg.plan.files import check_target
    from autoseg.reporting import explain as explained
    from autoseg.workflow.facts import facts_of
    from autoseg.workflow.planning import plan_in_workspace

    if output is not None:
        check_target(output)
    request = make_request(device, memory, minutes, settings, like, preset, timings, labels)
    space = open_workspace(dataset, workspace)
    facts = facts_of(dataset, space, jobs, progress)
    derived = plan_in_workspace(facts, space, name, request)
    say(f"Plan: {space.plan_file(name)}")
    if output is not None:
        write_plan(output, derived)
    if explain:
        show(explained(derived))
