"""One training: what is fitted to what, and where the result goes.

Comes in: a plan, a stage of it, prepared cases. Goes out: a `Job`, which knows what it is called and what decides
its weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from autoseg.files import content_hash
from autoseg.plan import Plan, Stage
from autoseg.preprocessing import PreparedCase
from autoseg.preprocessing.previous_maps import map_digest

LENGTH = ("epochs", "minutes")  # of a training; one may be made longer


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        plan: the plan.
        stage_name: which of its stages.
        fold: number, or "all".
        training: prepared cases to fit.
        validation: prepared cases to score on; where there are none, the training cases are scored.
        folder: where everything is written.
        device: where to compute.
        workers: processes that load patches; 0 loads in this one.
        tensorboard: whether the log is also written as TensorBoard reads it.
    """

    plan: Plan
    stage_name: str
    fold: int | str
    training: Sequence[PreparedCase]
    validation: Sequence[PreparedCase]
    folder: Path
    device: torch.device
    workers: int = 1
    tensorboard: bool = False

    @property
    def stage(self) -> Stage:
        """The stage to train."""
        return self.plan.stages[self.stage_name]

    @property
    def title(self) -> str:
        """What the job is called in displays and plots."""
        return f"{self.plan.dataset.name} · {self.stage_name} · fold {self.fold}"

    @cached_property
    def identity(self) -> str:
        """Hash of what decides the weights, but for the length: stage, labels, cases and the content of their files."""
        stage, dataset = self.stage.model_dump(mode="json"), self.plan.dataset.model_dump(mode="json")
        for field in LENGTH:
            del stage["training"][field]
        return content_hash([stage, dataset, [_state(case) for case in self.training], _names(self.validation)])


def _state(case: PreparedCase) -> list[Any]:
    """Name of a case, and the content of the files it was prepared from, wherever they lie."""
    record = case.record
    predicted = [] if record.refined is None else [record.refined.prediction.sha256]
    if case.maps is not None:
        predicted.append(map_digest(case))
    return [case.name, [source.sha256 for source in record.sources], *predicted]


def _names(cases: Sequence[PreparedCase]) -> list[str]:
    return [case.name for case in cases]
