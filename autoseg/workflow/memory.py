"""Does what a person set by hand fit the memory?"""

from __future__ import annotations

from bisect import bisect_left

from autoseg.errors import PlanError
from autoseg.plan import Plan, Stage
from autoseg.planner import Machine
from autoseg.planner.decided import by
from autoseg.planner.measured_memory import GIGABYTE
from autoseg.planner.memory import compared


def check_memory(plan: Plan, derived: Plan, stage_name: str, machine: Machine) -> None:
    """Refuses a stage whose training step is predicted to need more memory than the budget has.

    nnU-Net's presets reckon otherwise, and may need more by prediction; so what needs no more than the stage that
    was derived is not refused.

    Args:
        plan: with what was set by hand.
        derived: without.
        stage_name: which of its stages.
        machine: predicts.

    Raises:
        PlanError: it does not fit; the message names the largest batch that does, or the smallest need.
    """
    stage, budget = plan.stages[stage_name], plan.budget.memory_gb
    needed = _needed_gb(plan, stage, machine)
    if needed <= budget or needed <= _needed_gb(derived, derived.stages[stage_name], machine):
        return
    batch, path = stage.sampling.batch_size, f"stages.{stage_name}.sampling.batch_size"
    fitting = range(1, batch)
    largest = bisect_left(fitting, True, key=lambda size: _needed_gb(plan, _with_batch(stage, size), machine) > budget)
    what = f"{path}={batch} with patches of {by(stage.sampling.patch_size)} voxels needs {compared(needed, budget)}"
    if largest >= 1:
        raise PlanError(f"--set: {what}. The largest batch that fits is {largest}: --set {path}={largest}")
    one = _needed_gb(plan, _with_batch(stage, 1), machine)
    raise PlanError(
        f"--set: {what}, and even a single patch needs {one:.1f} GB. Set a smaller patch "
        f"(stages.{stage_name}.sampling.patch_size) or fewer features, or raise the memory (--memory)."
    )


def _needed_gb(plan: Plan, stage: Stage, machine: Machine) -> float:
    return machine.training_bytes(stage, plan.dataset) * (1 + machine.workspace_share) / GIGABYTE


def _with_batch(stage: Stage, batch_size: int) -> Stage:
    return stage.model_copy(update={"sampling": stage.sampling.model_copy(update={"batch_size": batch_size})})
