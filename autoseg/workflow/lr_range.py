"""The learning-rate range test in a workspace.

Comes in: a dataset and a stage of a plan. Goes out: `lr_range/PLAN/STAGE/lr_range.json` in the workspace.
"""

from __future__ import annotations

from pathlib import Path

from autoseg.dataset import Dataset
from autoseg.files import write_json
from autoseg.networks.devices import find_device
from autoseg.plan import Plan
from autoseg.progress import Progress, silent
from autoseg.training import Job, default_workers
from autoseg.training.lr_range import RateRange, find_rate_range
from autoseg.workflow.preparation import preprocess
from autoseg.workflow.workspace import Workspace, find_fold, find_stage


def measure_rate_range(
    dataset: Dataset,
    plan: Plan,
    stage: str,
    fold: int | str,
    workspace: Workspace,
    rates: tuple[float, float] = (1e-6, 1.0),
    iterations: int = 100,
    device: str | None = None,
    workers: int | None = None,
    processes: int | None = None,
    progress: Progress = silent,
) -> tuple[RateRange, Path]:
    """Prepares a stage's cases if need be, and tests learning rates on the training cases of a fold.

    Args:
        dataset: to train on.
        plan: the plan.
        stage: name of the stage.
        fold: number of the fold, or "all".
        workspace: holds the prepared cases.
        rates: the lowest and the highest.
        iterations: steps from one to the other.
        device: "cpu", "cuda:1", …; None for the kind the plan was made for.
        workers: processes that load patches; None takes what suits the device.
        processes: that prepare cases; None for as many as there are cores.
        progress: told of every case and every step.

    Returns:
        What was found, and the file it was written to.

    Raises:
        WorkspaceError: no such stage or fold, or the stage builds on one that is not trained in all folds.
    """
    find_stage(plan, stage)
    cases, where = find_fold(workspace.folds_of(dataset), fold), find_device(device or plan.budget.device)
    preprocess(dataset, plan, stage, workspace, processes, progress)
    training, validation = (workspace.open_prepared(plan, stage, names) for names in cases)
    folder = workspace.lr_range_folder(plan, stage)
    loading = default_workers(where) if workers is None else workers
    found = find_rate_range(
        Job(plan, stage, fold, training, validation, folder, where, loading), *rates, iterations, progress
    )
    optimizer = plan.stages[stage].optimizer.model_dump(mode="json")
    record = {"format": 1, "fold": fold, "device": str(where), "optimizer": optimizer, **found.model_dump(mode="json")}
    write_json(folder / "lr_range.json", record)
    return found, folder / "lr_range.json"
