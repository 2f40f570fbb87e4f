"""`autoseg preprocess`: the arrays a network is trained on."""

from __future__ import annotations

from autoseg.cli.display import progress, say, set_verbosity
from autoseg.cli.options import DatasetPath, Jobs, PlanName, Quiet, StageName, Verbose, WorkspacePath, open_workspace


def preprocess(
    dataset: DatasetPath,
    workspace: WorkspacePath = None,
    stage: StageName = None,
    plan: PlanName = "default",
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Crops, normalises and resamples every case; without --stage, for every stage of the plan."""
    set_verbosity(quiet, verbose)
    from autoseg.dataset import Dataset
    from autoseg.workflow.preparation import preprocess as prepare
    from autoseg.workflow.workspace import find_stage

    opened = Dataset.open(dataset)
    space = open_workspace(opened, workspace)
    chosen = space.read_plan(plan)
    for name in [find_stage(chosen, stage)] if stage else chosen.stages:
        prepare(opened, chosen, name, space, jobs, progress)
        say(f"Prepared for {name}: {space.prepared_folder(chosen, name)}")
