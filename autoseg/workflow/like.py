"""A plan that takes its stages from another.

Comes in: a plan of another dataset or budget, or one that a person wrote. Goes out: one for this dataset, with the
stages as they are there, but for the minutes and what is set by hand.
"""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.dataset import Labels
from autoseg.errors import PlanError
from autoseg.fingerprint import Fingerprint
from autoseg.plan import Budget, Decision, Plan, Stage, check_plan, with_settings
from autoseg.plan.loss import output_names
from autoseg.planner import facts_hash
from autoseg.planner.derive import dataset_warnings
from autoseg.planner.normalisation import planned_without_images
from autoseg.planner.orientation import turned
from autoseg.workflow.machine import machine_for
from autoseg.workflow.memory import check_memory, predicted_again, refuse_stage, settings_of


def take_stages(like: Plan, settings: Sequence[str], fingerprint: Fingerprint, budget: Budget, name: str) -> Plan:
    """The stages of another plan, with values set by hand.

    Args:
        like: the plan to take them from.
        settings: PATH=VALUE.
        fingerprint: facts about this dataset.
        budget: for this plan.
        name: of this plan.

    Raises:
        PlanError: the plan is for another kind of dataset, was made without images, or does not fit the memory; or a
            setting breaks a rule.
    """
    if planned_without_images(with_settings(like, settings)):
        raise PlanError(
            f"--like: plan '{like.name}' was made from label maps alone, so its normalisation was not measured on any "
            "image. Derive it again with its images and take that one, or set the normalisation by hand, one entry a "
            'channel (--set \'stages.*.preprocessing.normalisation=[{"kind":"zscore"}]\').'
        )
    changed = with_settings(retarget(like, fingerprint, budget, name), settings)
    machine, _ = machine_for(budget)
    # What nnU-Net's rules found to fit this memory may need more by prediction; so may what was taken from such a plan.
    theirs = like.budget.device == budget.device and like.budget.memory_gb <= budget.memory_gb
    trusted = {name: like.stages[name] for name in like.stages if theirs and _rules(like, name) not in ("", "standard")}
    for stage in changed.stages:
        asked = f"--like {like.name} {settings_of(stage, settings)}".rstrip()
        refuse_stage(stage, changed.stages[stage], fingerprint)
        check_memory(changed, stage, machine, asked, trusted.get(stage))
    return predicted_again(changed, changed.stages, fingerprint, machine)


def retarget(plan: Plan, fingerprint: Fingerprint, budget: Budget, name: str) -> Plan:
    """The stages of a plan for another dataset of as many channels and outputs, trained for the minutes given.

    Warnings are of this dataset, its cases turned as the first of the stages turns them.

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
    stages = {stage: relabelled(plan.stages[stage], theirs.labels, ours.labels) for stage in plan.stages}
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
        "warnings": (
            *_told_names(plan.name, theirs.labels, ours.labels),
            *dataset_warnings(fingerprint, [turned(case, orientation) for case in fingerprint.cases]),
        ),
    }
    changed = plan.model_copy(update=update)
    return check_plan(changed.model_dump(mode="json"), f"--like {plan.name}")


def label_names(theirs: Labels, ours: Labels) -> dict[str, str]:
    """Label of another dataset → what it is in this one: those of the same name are the same, the rest go by order.

    Args:
        theirs: labels of the other one.
        ours: as many of this one.
    """
    before, after = output_names(theirs), output_names(ours)
    rest = [name for name in after if name not in before]
    return {name: name if name in after else rest.pop(0) for name in before}


def relabelled(stage: Stage, theirs: Labels, ours: Labels) -> Stage:
    """A stage whose labels are called as in another dataset; see `label_names`.

    Args:
        stage: names labels in its loss, in which patches are likelier, and in what it makes of a previous stage.
        theirs: labels of the dataset it was planned for.
        ours: as many of the other one.
    """
    names = label_names(theirs, ours)
    data = stage.model_dump(mode="json")
    for term in data["loss"]:
        if isinstance(term.get("over"), list):
            term["over"] = [[names[n] for n in one] if isinstance(one, list) else names[one] for one in term["over"]]
        term["weights"] = {names[name]: weight for name, weight in term["weights"].items()}
    if data["sampling"]["grid"] is not None:
        likelier = data["sampling"]["grid"]["likelier"]
        data["sampling"]["grid"]["likelier"] = {names[name]: times for name, times in likelier.items()}
    for part in ("crop", "mask"):
        if data["previous"] is not None and data["previous"][part] is not None:
            of = data["previous"][part]
            of["labels"] = [names[name] for name in of["labels"]]
    return Stage.model_validate(data)


def _told_names(name: str, theirs: Labels, ours: Labels) -> list[str]:
    """What is said of labels that are called otherwise."""
    taken = [f"'{now}' for its '{before}'" for before, now in label_names(theirs, ours).items() if before != now]
    if not taken:
        return []
    return [
        f"Plan '{name}' was made for other labels, and takes {', '.join(taken)}, by their order. Its voxel sizes and "
        "clipping of intensities are those of its own dataset."
    ]


def _rules(plan: Plan, stage: str) -> str:
    """The preset that a stage was derived by, in this plan or in the one it was taken from; empty where none was."""
    taken = plan.decisions.get(f"stages.{stage}")
    return plan.preset or (str(taken.facts.get("preset", "")) if taken is not None and taken.rule == "like" else "")


def timed(stage: Stage, minutes: float) -> Stage:
    """The stage, trained for so many minutes."""
    training = stage.training.model_copy(update={"minutes": minutes})
    return stage.model_copy(update={"training": training})
