"""`autoseg preprocess`: the arrays a network is trained on."""

from __future__ import annotations

from autoseg.cli.display import progress, say, set_verbosity
from autoseg.cli.options import (
    DatasetPath,
    GroupBy,
    Jobs,
    PlanName,
    Quiet,
    Split,
    StageName,
    Stratify,
    Verbose,
    WorkspacePath,
    open_workspace,
)


def preprocess(
    dataset: DatasetPath,
    workspace: WorkspacePath = None,
    stage: StageName = None,
    plan: PlanName = "default",
    group_by: GroupBy = None,
    stratify: Stratify = False,
    split: Split = None,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Crops, normalises and resamples every case; without --stage, for every stage of the plan."""
    set_verbosity(quiet, verbose)
    from autoseg.dataset import Dataset
    from autoseg.errors import UntrainedStage
    from autoseg.workflow.folds import record_asked_folds
    from autoseg.workflow.preparation import preprocess as prepare
    from autoseg.workflow.workspace import find_stage

    opened = Dataset.open(dataset)
    space = open_workspace(opened, workspace)
    chosen = space.read_plan(plan)
    record_asked_folds(opened, space, group_by, stratify, split, jobs, progress)
    for name in [find_stage(chosen, stage)] if stage else chosen.stages:
        try:
            prepare(opened, chosen, name, space, jobs, progress)
        except UntrainedStage as untrained:  # not a fault where all is to be prepared that can be
            if stage:
                raise
            say(f"Left for later: {untrained}")
            continue
        say(f"Prepared for {name}: {space.prepared_folder(chosen, name)}")
