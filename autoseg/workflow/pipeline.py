"""The whole path: check, fingerprint, plan, preprocess, train, score, skipping what is done.

Comes in: a dataset, a workspace, and what is asked of the plan. Goes out: a list of jobs, one a
model, and as tasks for an engine, which leave trained and scored models in the workspace.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from autoseg.dataset import Dataset, Finding, can_train, check_dataset
from autoseg.errors import DatasetError
from autoseg.networks.devices import find_device
from autoseg.plan import Plan
from autoseg.progress import Progress, silent
from autoseg.training.processes import rank, wait
from autoseg.workflow.engine import Task
from autoseg.workflow.facts import fingerprint_in_workspace, has_fingerprint
from autoseg.workflow.fitting import is_finished, train
from autoseg.workflow.out_of_fold import must_be_validated, stages_before
from autoseg.workflow.planning import plan_in_workspace
from autoseg.workflow.preparation import preprocess
from autoseg.workflow.request import Request
from autoseg.workflow.workspace import Workspace, find_fold, find_stage

logger = logging.getLogger(__name__)


class ModelJob(NamedTuple):
    """One model to train: a stage and a fold, and whether it is there already."""

    stage: str
    fold: int | str
    done: bool

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.stage}, fold {self.fold}"


def plan_dataset(
    dataset: Dataset,
    workspace: Workspace,
    request: Request,
    name: str = "default",
    processes: int | None = None,
    progress: Progress = silent,
) -> Plan:
    """Checks the dataset, extracts its fingerprint and derives a plan, or takes what is there.

    Raises:
        DatasetError: some case cannot be trained on; the message lists every such case.
    """
    findings: list[Finding] = []
    if not has_fingerprint(dataset, workspace):
        findings = check_dataset(dataset, processes, progress)
        if not can_train(findings):
            raise DatasetError(_all_findings(dataset, findings))
        for warning in findings:
            logger.warning("%s", warning)
    fingerprint = fingerprint_in_workspace(dataset, workspace, processes, progress)
    return plan_in_workspace(fingerprint, workspace, name, request, [finding.problem for finding in findings])


def list_jobs(
    dataset: Dataset, plan: Plan, workspace: Workspace, stage: str | None, folds: Sequence[int | str] | None
) -> list[ModelJob]:
    """The models to train, in their order: the folds of one stage, or of every stage of the plan.

    A stage that builds on another is trained on what that one predicts for cases it did not see: all its folds come
    first.

    Args:
        dataset: has the folds.
        plan: has the stages.
        workspace: has the models that are done.
        stage: None for all.
        folds: None for all of the dataset's.

    Raises:
        WorkspaceError: no such stage or fold, or a case that a stage needs predicted is validated by none. Better told
            now than when the others are trained.
    """
    chosen, known = chosen_folds(dataset, workspace, folds), workspace.folds_of(dataset)
    stages = [find_stage(plan, stage)] if stage else list(plan.stages)
    for name in stages:
        for first in stages_before(plan, name):
            must_be_validated(known, name, first)
            for fold in range(len(known)):
                find_fold(known, fold)
    return [
        ModelJob(name, fold, is_finished(workspace.fold_folder(plan, name, fold), plan, name))
        for name, fold in _in_order(plan, stages, chosen, len(known))
    ]


def chosen_folds(dataset: Dataset, workspace: Workspace, folds: Sequence[int | str] | None) -> Sequence[int | str]:
    """The folds to train: those asked for, or all of the dataset's.

    Raises:
        WorkspaceError: there is no such fold, or one has nothing to train on.
    """
    known = workspace.folds_of(dataset)
    chosen = range(len(known)) if folds is None else folds
    for fold in chosen:
        find_fold(known, fold)
    return chosen


def make_tasks(
    todo: Sequence[ModelJob],
    dataset: Dataset,
    plan: Plan,
    workspace: Workspace,
    workers: int | None = None,
    processes: int | None = None,
    progress: Progress = silent,
) -> list[Task]:
    """Jobs as an engine takes them: before the first model of a stage, one that prepares the cases for it.

    No two prepare cases at once, for they may be the same cases, and take all cores.

    Args:
        todo: as `list_jobs` lists them.
        dataset: has the cases.
        plan: has the stages.
        workspace: where all goes.
        workers: processes that load patches for one model.
        processes: that prepare cases.
        progress: told of all; it must be importable by name where an engine uses other processes.
    """
    tasks: list[Task] = []
    trained: dict[str, list[str]] = {}
    for job in todo:
        preparing = f"cases for {job.stage}"
        if job.stage not in trained:
            before = stages_before(plan, job.stage)
            needs = tuple(name for stage in before for name in trained.get(stage, ()))
            earlier = tuple(f"cases for {stage}" for stage in trained)
            asks = not all(one.done for one in todo if one.stage == job.stage)
            prepare = partial(_prepare, dataset, plan, job.stage, workspace, processes, progress, asks)
            tasks.append(Task(preparing, prepare, needs, earlier))
        fit = partial(train, plan, job.stage, job.fold, workspace, workers=workers, progress=progress)
        tasks.append(Task(job.name, fit, (preparing,)))
        trained.setdefault(job.stage, []).append(job.name)
    return tasks


def run_job(
    job: ModelJob,
    dataset: Dataset,
    plan: Plan,
    workspace: Workspace,
    device: str | None = None,
    workers: int | None = None,
    processes: int | None = None,
    progress: Progress = silent,
    tensorboard: bool = False,
) -> Path:
    """Preprocesses for a job's stage if need be, trains its model and scores it; see `train`.

    Of several processes that train the model together, one preprocesses while the others wait.

    Returns:
        The model's folder.
    """
    _prepare(dataset, plan, job.stage, workspace, processes, progress, not job.done, device)
    return train(plan, job.stage, job.fold, workspace, device, workers, progress, tensorboard)


def _prepare(
    dataset: Dataset,
    plan: Plan,
    stage: str,
    workspace: Workspace,
    processes: int | None,
    progress: Progress,
    trains: bool,
    device: str | None,
) -> None:
    if device or trains:
        find_device(device or plan.budget.device)  # a device that is not there is told before cases are prepared for it
    if rank() == 0:
        preprocess(dataset, plan, stage, workspace, processes, progress)
    wait()


def _in_order(
    plan: Plan, stages: Sequence[str], chosen: Sequence[int | str], count: int
) -> Sequence[tuple[str, int | str]]:
    """Stages and folds, each once; before a stage that builds on another come all of that one's `count` folds."""
    listed: dict[tuple[str, int | str], None] = {}
    for name in stages:
        listed |= {(first, fold): None for first in stages_before(plan, name) for fold in range(count)}
        listed |= {(name, fold): None for fold in chosen}
    return list(listed)


def _all_findings(dataset: Dataset, findings: Sequence[Finding]) -> str:
    errors = [str(finding) for finding in findings if finding.severity == "error"]
    cases = "one problem" if len(errors) == 1 else f"{len(errors)} problems"
    return f"{dataset.path}: {cases} to mend before training\n\n" + "\n\n".join(errors)
