"""A plan that takes its stages from another.

Comes in: a plan of another dataset or budget, or one that a person wrote. Goes out: one for this dataset, with the
stages as they are there, but for the minutes and what is set by hand.
"""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.errors import PlanError
from autoseg.fingerprint import Fingerprint
from autoseg.plan import Budget, Decision, Plan, Stage, check_plan, with_settings
from autoseg.planner import facts_hash
from autoseg.planner.derive import dataset_warnings
from autoseg.planner.normalisation import planned_without_images
from autoseg.planner.orientation import turned
from autoseg.workflow.labelling import label_names, not_carried_over, relabelled
from autoseg.workflow.machine import machine_for
from autoseg.workflow.memory import check_memory, predicted_again, refuse_stage, settings_of


def take_stages(
    like: Plan,
    settings: Sequence[str],
    fingerprint: Fingerprint,
    budget: Budget,
    name: str,
    labels: Sequence[str] = (),
) -> Plan:
    """The stages of another plan, with values set by hand.

    Args:
        like: the plan to take them from.
        settings: PATH=VALUE.
        fingerprint: facts about this dataset.
        budget: for this plan.
        name: of this plan.
        labels: THEIRS=OURS, which of the plan's labels is which of this dataset's; see `label_names`.

    Raises:
        PlanError: the plan is for another kind of dataset, or labels do not match; it was made without images, or does
            not fit the memory; or a setting breaks a rule.
    """
    if planned_without_images(with_settings(like, settings)):
        raise PlanError(
            f"--like: plan '{like.name}' was made from label maps alone, so its normalisation was not measured on any "
            "image. Derive it again with its images and take that one, or set the normalisation by hand, one entry a "
            'channel (--set \'stages.*.preprocessing.normalisation=[{"kind":"zscore"}]\').'
        )
    changed = with_settings(retarget(like, fingerprint, budget, name, labels), settings)
    machine, _ = machine_for(budget)
    # What nnU-Net's rules found to fit this memory may need more by prediction; so may what was taken from such a plan.
    theirs = like.budget.device == budget.device and like.budget.memory_gb <= budget.memory_gb
    trusted = {name: like.stages[name] for name in like.stages if theirs and _rules(like, name) not in ("", "standard")}
    for stage in changed.stages:
        asked = f"--like {like.name} {settings_of(stage, settings)}".rstrip()
        refuse_stage(stage, changed.stages[stage], fingerprint)
        check_memory(changed, stage, machine, asked, trusted.get(stage))
    return predicted_again(changed, changed.stages, fingerprint, machine)


def retarget(plan: Plan, fingerprint: Fingerprint, budget: Budget, name: str, labels: Sequence[str] = ()) -> Plan:
    """The stages of a plan for another dataset of as many channels and outputs, trained for the minutes given.

    Warnings are on what does not carry over, and of this dataset, its cases turned as the first of the stages turns
    them.

    Raises:
        PlanError: the dataset has another number of channels, labels or regions.
    """
    ours, theirs = fingerprint.dataset, plan.dataset
    for what, here, there in (
        ("channels", len(ours.channels), len(theirs.channels)),
        ("network outputs", ours.labels.outputs, theirs.labels.outputs),
    ):
        if here != there:
            raise PlanError(f"--like: plan '{plan.name}' is for {there} {what}, this dataset has {here}.")
    names = label_names(theirs.labels, ours.labels, labels)
    stages = {stage: relabelled(plan.stages[stage], names) for stage in plan.stages}
    if ours.dimensions == 2 and any(stage.dimensions == 3 for stage in stages.values()):
        raise PlanError(f"--like: plan '{plan.name}' has stages for volumes, this dataset holds 2-D images.")
    if budget.minutes is not None:
        stages = {stage: timed(stages[stage], budget.minutes) for stage in stages}
    reason = f"All of this stage is taken from plan '{plan.name}'."
    decisions = {
        f"stages.{stage}": Decision(value=plan.name, rule="like", facts={"preset": _rules(plan, stage)}, reason=reason)
        for stage in stages
    }
    orientation = next(iter(stages.values())).preprocessing.orientation
    update = {
        "name": name,
        "dataset": ours,
        "facts": facts_hash(fingerprint),
        "budget": budget,
        "stages": stages,
        "decisions": decisions,
        "notes": plan.notes,
        "preset": None,
    }
    changed = plan.model_copy(update=update)
    of_dataset = dataset_warnings(fingerprint, [turned(case, orientation) for case in fingerprint.cases])
    warnings = (*not_carried_over(plan, changed, names), *of_dataset)
    changed = changed.model_copy(update={"warnings": warnings})
    return check_plan(changed.model_dump(mode="json"), f"--like {plan.name}")


def _rules(plan: Plan, stage: str) -> str:
    """The preset that a stage was derived by, in this plan or in the one it was taken from; empty where none was."""
    taken = plan.decisions.get(f"stages.{stage}")
    return plan.preset or (str(taken.facts.get("preset", "")) if taken is not None and taken.rule == "like" else "")


def timed(stage: Stage, minutes: float) -> Stage:
    """The stage, trained for so many minutes."""
    training = stage.training.model_copy(update={"minutes": minutes})
    return stage.model_copy(update={"training": training})
