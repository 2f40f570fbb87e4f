"""Facts + budget → plan.

Comes in: a fingerprint, a budget, a machine to ask. Goes out: the plan, with a decision for every
value in it. Each rule has a file of its own; `stage.py` gathers what they say.
"""

from __future__ import annotations

from typing import Literal

from pydantic_core import to_jsonable_python

from autoseg.fingerprint.model import Fingerprint
from autoseg.plan.plan import Budget, Decision, Plan
from autoseg.planner.axis_order import axis_order
from autoseg.planner.decided import Decided
from autoseg.planner.machine import Machine
from autoseg.planner.spacing import median_resampled_shape, target_spacing
from autoseg.planner.stage import Grounds, build_stage, derive_parts


def derive_plan(fingerprint: Fingerprint, budget: Budget, machine: Machine, name: str = "default") -> Plan:
    """Decides everything about the models of a dataset.

    Without a time limit these are nnU-Net's decisions. With one, networks are made small enough
    to be trained in it, which the machine is asked to measure.

    Args:
        fingerprint: facts about the dataset.
        budget: device, memory, minutes.
        machine: precision, and how long an iteration takes.
        name: of the plan.

    Raises:
        PlanError: the images or the memory are too small for a network.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z.
    """
    grounds = _grounds(fingerprint, budget, machine)
    stages, decisions = {}, {}
    for stage_name, dimensions in _stages(grounds).items():
        parts = derive_parts(grounds, dimensions)
        stages[stage_name] = build_stage(parts)
        for path in sorted(parts):
            decisions[f"stages.{stage_name}.{path}"] = _decision(parts[path])
    return Plan(name=name, dataset=fingerprint.dataset, budget=budget, stages=stages, decisions=decisions)


def _grounds(fingerprint: Fingerprint, budget: Budget, machine: Machine) -> Grounds:
    flat = fingerprint.dataset.dimensions == 2
    spacings_mm = [case.spacing_mm for case in fingerprint.cases]
    shapes = [case.shape_after_crop for case in fingerprint.cases]
    spacing = target_spacing(spacings_mm, shapes, flat)
    shape = median_resampled_shape(spacings_mm, shapes, spacing.value)
    order = axis_order(spacing.value, shape, flat)
    return Grounds(
        fingerprint,
        budget,
        machine,
        order,
        spacing._replace(value=tuple(spacing.value[axis] for axis in order.value)),
        tuple(shape[axis] for axis in order.value),
    )


def _stages(grounds: Grounds) -> dict[str, Literal[2, 3]]:
    """Name → dimensions. Images of one slice have no volume to learn from."""
    if grounds.fingerprint.dataset.dimensions == 2 or grounds.median_shape[0] <= 1:
        return {"2d": 2}
    return {"2d": 2, "3d_fullres": 3}


def _decision(decided: Decided[object]) -> Decision:
    # As JSON's types, so that a plan read from its file equals the plan that was written.
    return Decision(
        value=to_jsonable_python(decided.value),
        rule=decided.rule,
        facts=to_jsonable_python(decided.facts),
        reason=decided.reason,
    )
