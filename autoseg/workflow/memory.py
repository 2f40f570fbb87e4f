"""What stages need that a person set by hand, or took from another plan: whether it fits, and the new prediction.

Comes in: a plan before and after, and a machine to ask. Goes out: the plan with what is predicted of it now, or an
error that says what would fit.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Any

from autoseg.errors import PlanError
from autoseg.fingerprint import Fingerprint
from autoseg.plan import Plan, Stage, with_settings
from autoseg.planner import Machine
from autoseg.planner.decided import by
from autoseg.planner.derive import grounds_for, recorded
from autoseg.planner.measured_memory import GIGABYTE
from autoseg.planner.memory import compared
from autoseg.planner.parts import Grounds
from autoseg.planner.predicted import predicted_memory, prediction_warnings

NEEDS_NOTHING = {"augmentation", "schedule", "training"}  # parts that take no memory, but for the precision
DECIDE_THE_NEED = ("network", "sampling", "loss", "optimizer", "training.precision", "previous")


def set_by_hand(plan: Plan, settings: Sequence[str], fingerprint: Fingerprint | None, machine: Machine) -> Plan:
    """The plan with settings that fit its memory, and with what is predicted of the changed stages now.

    Args:
        plan: a stage of it that needs more than the budget by prediction may stay so, but not need even more.
        settings: PATH=VALUE.
        fingerprint: what the plan was derived from, if that is known.
        machine: predicts.

    Raises:
        PlanError: a setting breaks a rule of the plan, or needs more memory than its budget has.
    """
    changed = with_settings(plan, settings)
    touched = [name for name, stage in plan.stages.items() if changed.stages[name] != stage]
    for name in touched:
        check_memory(changed, name, machine, settings_of(name, settings), before=plan.stages[name])
    grounds = grounds_for(fingerprint, plan.budget, machine, plan.preset) if fingerprint and plan.preset else None
    return _predicted_again(changed, plan, touched, grounds)


def check_memory(plan: Plan, stage_name: str, machine: Machine, asked: str, before: Stage | None = None) -> None:
    """Refuses a stage whose training step is predicted to need more memory than the budget has.

    Args:
        plan: as asked for.
        stage_name: which of its stages.
        machine: predicts.
        asked: the options that made the stage what it is; see `settings_of`.
        before: the stage as it was derived for this memory. nnU-Net's presets reckon otherwise, and may need more by
            prediction; so what needs no more than that is not refused.

    Raises:
        PlanError: it does not fit; the message names the largest batch that does, or the smallest need.
    """
    stage, budget = plan.stages[stage_name], plan.budget.memory_gb
    if before is not None and _what_takes_memory(stage) == _what_takes_memory(before):
        return
    needed = _needed_gb(plan, stage, machine)
    if needed <= budget or (before is not None and needed <= _needed_gb(plan, before, machine)):
        return
    batch, features = stage.sampling.batch_size, stage.network.features
    fitting = range(1, batch)
    largest = bisect_left(fitting, True, key=lambda size: _needed_gb(plan, _with_batch(stage, size), machine) > budget)
    what = (
        f"{asked}: stage {stage_name} with {features[0]}→{features[-1]} features, batches of {batch} and patches of "
        f"{by(stage.sampling.patch_size)} voxels needs {compared(needed, budget)}."
    )
    path = f"stages.{stage_name}"
    if largest >= 1:
        smaller = f"--set {path}.sampling.batch_size={largest}"
        raise PlanError(f"{what} The largest batch that fits is {largest}: {smaller}")
    one = _needed_gb(plan, _with_batch(stage, 1), machine)
    raise PlanError(
        f"{what} Even a batch of 1 needs {one:.1f} GB. Set a smaller patch ({path}.sampling.patch_size) or fewer "
        f"features ({path}.network.features), or plan for more memory (autoseg plan … --memory GB)."
    )


def settings_of(stage_name: str, settings: Sequence[str]) -> str:
    """The settings that decide what a stage needs, as options.

    >>> settings_of("2d", ["stages.2d.training.seed=1", "stages.*.sampling.batch_size=9", "stages.3d.network={}"])
    '--set stages.*.sampling.batch_size=9'
    """
    parts = [f"stages.{stage}.{part}." for stage in (stage_name, "*") for part in DECIDE_THE_NEED]
    paths = [f"{setting.partition('=')[0]}." for setting in settings]
    deciding = [any(path.startswith(part) or part.startswith(path) for part in parts) for path in paths]
    return " ".join(f"--set {setting}" for setting, decides in zip(settings, deciding, strict=True) if decides)


def _predicted_again(changed: Plan, plan: Plan, stage_names: Iterable[str], grounds: Grounds | None) -> Plan:
    """The changed plan with what its changed stages need now, recorded after the changes.

    Args:
        changed: a plan in which values were set.
        plan: before that.
        stage_names: of the stages that differ.
        grounds: what the plan was derived from; where that is not known, predictions that no longer hold are left out.
    """
    decisions, outdated = dict(changed.decisions), prediction_warnings(plan.decisions, plan.budget)
    for name in stage_names:
        decision = decisions.pop(f"stages.{name}.memory", None)
        if decision is not None and _what_takes_memory(changed.stages[name]) != _what_takes_memory(plan.stages[name]):
            decision = recorded(predicted_memory(changed.stages[name], grounds)) if grounds else None
        if decision is not None:
            decisions[f"stages.{name}.memory"] = decision
    kept = [warning for warning in changed.warnings if warning not in outdated]
    warnings = (*kept, *prediction_warnings(decisions, changed.budget))
    return changed.model_copy(update={"decisions": decisions, "warnings": warnings})


def _what_takes_memory(stage: Stage) -> tuple[dict[str, Any], str]:
    return stage.model_dump(exclude=NEEDS_NOTHING), stage.training.precision


def _needed_gb(plan: Plan, stage: Stage, machine: Machine) -> float:
    return machine.training_bytes(stage, plan.dataset) * (1 + machine.margin) / GIGABYTE


def _with_batch(stage: Stage, batch_size: int) -> Stage:
    return stage.model_copy(update={"sampling": stage.sampling.model_copy(update={"batch_size": batch_size})})
