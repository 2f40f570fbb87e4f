"""The whole path: check, fingerprint, plan, preprocess, train, score, skipping what is done.

Comes in: a dataset, a workspace, and what is asked of the plan. Goes out: a list of jobs, one a
model; run one after another, they leave trained and scored models in the workspace.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from autoseg.dataset import Dataset, Finding, can_train, check_dataset
from autoseg.errors import DatasetError
from autoseg.networks.devices import find_device
from autoseg.plan import Plan
from autoseg.progress import Progress, silent
from autoseg.training import processes
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


def plan_dataset(
    dataset: Dataset,
    workspace: Workspace,
    request: Request,
    name: str = "default",
    jobs: int | None = None,
    progress: Progress = silent,
) -> Plan:
    """Checks the dataset, extracts its fingerprint and derives a plan, or takes what is there.

    Raises:
        DatasetError: some case cannot be trained on; the message lists every such case.
    """
    findings: list[Finding] = []
    if not has_fingerprint(dataset, workspace):
        findings = check_dataset(dataset, jobs, progress)
        if not can_train(findings):
            raise DatasetError(_all_findings(dataset, findings))
        for warning in findings:
            logger.warning("%s", warning)
    fingerprint = fingerprint_in_workspace(dataset, workspace, jobs, progress)
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


def run_job(
    job: ModelJob,
    dataset: Dataset,
    plan: Plan,
    workspace: Workspace,
    device: str | None = None,
    workers: int | None = None,
    jobs: int | None = None,
    progress: Progress = silent,
    tensorboard: bool = False,
) -> Path:
    """Preprocesses for a job's stage if need be, trains its model and scores it; see `train`.

    Of several processes that train the model together, one preprocesses while the others wait.

    Returns:
        The model's folder.
    """
    if device or not job.done:
        find_device(device or plan.budget.device)  # a device that is not there is told before cases are prepared for it
    if processes.rank() == 0:
        preprocess(dataset, plan, job.stage, workspace, jobs, progress)
    processes.wait()
    return train(plan, job.stage, job.fold, workspace, device, workers, progress, tensorboard)


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
