"""The whole path in a workspace: a dataset and a request come in, models and their scores go out.

Every step looks at what is there and does only what is not done.
"""

from autoseg.workflow.pipeline import ModelJob, list_jobs, plan_dataset, run_job
from autoseg.workflow.planning import Request, changed_plan, check_request, make_plan, plan_in_workspace
from autoseg.workflow.steps import (
    facts_of,
    fingerprint_in_workspace,
    preprocess,
    train,
    validation_scores,
)
from autoseg.workflow.workspace import Workspace, find_stage

__all__ = [
    "ModelJob",
    "Request",
    "Workspace",
    "changed_plan",
    "check_request",
    "facts_of",
    "find_stage",
    "fingerprint_in_workspace",
    "list_jobs",
    "make_plan",
    "plan_dataset",
    "plan_in_workspace",
    "preprocess",
    "run_job",
    "train",
    "validation_scores",
]
