"""What stages need that a person set by hand, or took from another plan: whether it fits, and the new prediction.

Comes in: a plan before and after, and a machine to ask. Goes out: the plan with what is predicted of it now, or an
error that says what would fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from autoseg.errors import PlanError
from autoseg.fingerprint import Fingerprint
from autoseg.memory import GIGABYTE
from autoseg.phrases import by
from autoseg.plan import Plan, Stage, with_settings
from autoseg.plan.augmentation_checks import patches_together
from autoseg.planner import Machine
from autoseg.planner.derive import recorded
from autoseg.planner.length import TAKES_LONG, takes_long
from autoseg.planner.memory import compared, largest_batch, with_batch
from autoseg.planner.predicted import predicted_memory, prediction_warnings, prepared_shape, refuse_absurd

NEEDS_NOTHING = {"augmentation", "schedule", "stopping", "training"}  # parts that take no memory, but for the precision
DECIDE_THE_NEED = ("network", "sampling", "loss", "optimizer", "average", "training.precision", "previous")


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
        if fingerprint is not None:
            refuse_stage(name, changed.stages[name], fingerprint)
        check_memory(changed, name, machine, settings_of(name, settings), before=plan.stages[name])
    if not any(takes_long(stage.training) for stage in changed.stages.values()):
        warnings = tuple(warning for warning in changed.warnings if warning != TAKES_LONG)
        changed = changed.model_copy(update={"warnings": warnings})
    return predicted_again(changed, touched, fingerprint, machine, before=plan)


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
    if before is not None and not _needs_otherwise(stage, before):
        return
    needed = _needed_gb(plan, stage, machine)
    if needed <= budget or (before is not None and needed <= _needed_gb(plan, before, machine)):
        return
    batch, features = stage.sampling.batch_size, stage.network.features
    largest = largest_batch(stage, lambda smaller: _needed_gb(plan, smaller, machine) <= budget)
    what = (
        f"{asked}: stage {stage_name} with {features[0]}→{features[-1]} features, batches of {batch} and patches of "
        f"{by(stage.sampling.patch_size)} voxels needs {compared(needed, budget)}."
    )
    path = f"stages.{stage_name}"
    if largest is not None:
        smaller = f"--set {path}.sampling.batch_size={largest}, or plan for more memory (--memory GB)"
        raise PlanError(f"{what} The largest batch that fits is {largest}: {smaller}")
    fewest = patches_together(stage.augmentation)
    least = _needed_gb(plan, with_batch(stage, fewest), machine)
    raise PlanError(
        f"{what} Even a batch of {fewest} needs {least:.1f} GB. Set a smaller patch ({path}.sampling.patch_size) or "
        f"fewer features ({path}.network.features), or plan for more memory (autoseg plan … --memory GB)."
    )


def refuse_stage(name: str, stage: Stage, fingerprint: Fingerprint) -> None:
    """Refuses a stage for which no machine can hold the median image; see `refuse_absurd`."""
    shape, spacing_mm = prepared_shape(stage, fingerprint.cases), stage.preprocessing.spacing_mm
    if spacing_mm is not None:
        refuse_absurd(f"stages.{name}.preprocessing.spacing_mm", spacing_mm, shape)


def settings_of(stage_name: str, settings: Sequence[str]) -> str:
    """The settings that decide what a stage needs, as options.

    >>> settings_of("2d", ["stages.2d.training.seed=1", "stages.*.sampling.batch_size=9", "stages.3d.network={}"])
    '--set stages.*.sampling.batch_size=9'
    """
    parts = [f"stages.{stage}.{part}." for stage in (stage_name, "*") for part in DECIDE_THE_NEED]
    paths = [f"{setting.partition('=')[0]}." for setting in settings]
    deciding = [any(path.startswith(part) or part.startswith(path) for part in parts) for path in paths]
    return " ".join(f"--set {setting}" for setting, decides in zip(settings, deciding, strict=True) if decides)


def predicted_again(
    plan: Plan,
    stage_names: Iterable[str],
    fingerprint: Fingerprint | None,
    machine: Machine,
    before: Plan | None = None,
) -> Plan:
    """The plan with what some of its stages need now, recorded after all other decisions.

    Args:
        plan: its predictions are of before.
        stage_names: of the stages that changed since.
        fingerprint: of the dataset; where it is not known, predictions that no longer hold are left out.
        machine: predicts.
        before: the plan that the predictions are of; None where they do not hold for any of the stages.
    """
    decisions, outdated = dict(plan.decisions), prediction_warnings(plan.decisions, plan.budget)
    for name in stage_names:
        stage = plan.stages[name]
        decision = decisions.pop(path := f"stages.{name}.memory", None)
        if before is None or _needs_otherwise(stage, before.stages[name]):
            decision = recorded(predicted_memory(stage, fingerprint, plan.budget, machine)) if fingerprint else None
        if decision is not None:
            decisions[path] = decision
    kept = [warning for warning in plan.warnings if warning not in outdated]
    warnings = (*kept, *prediction_warnings(decisions, plan.budget))
    return plan.model_copy(update={"decisions": decisions, "warnings": warnings})


def _needs_otherwise(stage: Stage, before: Stage) -> bool:
    return _what_takes_memory(stage) != _what_takes_memory(before)


def _what_takes_memory(stage: Stage) -> tuple[dict[str, Any], str]:
    return stage.model_dump(exclude=NEEDS_NOTHING), stage.training.precision


def _needed_gb(plan: Plan, stage: Stage, machine: Machine) -> float:
    return machine.training_bytes(stage, plan.dataset) * (1 + machine.margin) / GIGABYTE
