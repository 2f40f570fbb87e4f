"""`autoseg select`: the best stage or pair of stages, and its postprocessing."""

from __future__ import annotations

from autoseg.cli.display import progress, set_verbosity
from autoseg.cli.options import (
    DatasetPath,
    Device,
    Jobs,
    PlanName,
    Quiet,
    Verbose,
    WorkspacePath,
    open_workspace,
)
from autoseg.cli.results import show_selection


def select(
    dataset: DatasetPath,
    workspace: WorkspacePath = None,
    plan: PlanName = "default",
    device: Device = None,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Compares what is trained on cases it was not fitted to: stages, and pairs of them by their mean probability.

    The best is written to models/PLAN/selection.json, with postprocessing learnt for it; 'autoseg predict WORKSPACE'
    uses both. Pairs need probabilities: validation cases are predicted once more for them.
    """
    set_verbosity(quiet, verbose)
    from autoseg.dataset import Dataset
    from autoseg.workflow.selecting import select as find_best

    opened = Dataset.open(dataset)
    space = open_workspace(opened, workspace)
    show_selection(find_best(opened, space.read_plan(plan), space, device, jobs, progress), space)
