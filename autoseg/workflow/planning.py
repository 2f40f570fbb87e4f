"""A plan for a dataset on this machine, and when a plan that is there may be used again.

Comes in: a fingerprint and a budget, or what a person asked for. Goes out: a plan. The planner asks
what a step costs of the functions handed to it here.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress

from autoseg.errors import PlanError, WorkspaceError
from autoseg.fingerprint import Fingerprint, read_fingerprint
from autoseg.networks.devices import made_current, resolve_device
from autoseg.phrases import counted, meant
from autoseg.plan import Budget, Plan, PresetName, Stage, Timing, with_settings, write_plan
from autoseg.planner import derive_plan, facts_hash
from autoseg.planner.length import iterations_done
from autoseg.planner.normalisation import planned_without_images
from autoseg.planner.time import FEWEST_ITERATIONS
from autoseg.workflow.labelling import label_names, relabelled
from autoseg.workflow.like import take_stages, timed
from autoseg.workflow.machine import machine_for, name_machine
from autoseg.workflow.memory import set_by_hand
from autoseg.workflow.request import Request, budget_warnings, check_request, resolve_budget
from autoseg.workflow.workspace import Workspace, find_stage

logger = logging.getLogger(__name__)

DERIVED = ("2d", "3d_fullres", "3d_lowres", "3d_cascade")  # stages that a plan may get, by the dataset's images


def make_plan(
    fingerprint: Fingerprint,
    budget: Budget,
    name: str = "default",
    settings: Sequence[str] = (),
    preset: PresetName = "standard",
    recorded: Sequence[Timing] = (),
) -> Plan:
    """Derives a plan.

    Args:
        fingerprint: facts about the dataset.
        budget: device, memory and minutes. With minutes the candidates are timed on this machine, unless the
            budget has timings, of this or of another one.
        name: of the plan.
        settings: values set by hand, PATH=VALUE.
        preset: the rules to derive it by: "standard", "nnunet", "nnunet-resenc-m", "-l" or "-xl".
        recorded: earlier timings of this machine; what is among them is not timed again.

    Raises:
        PlanError: the budget is too small, or a setting breaks a rule.
        AutosegError: minutes are given, but no timings, for a device that this machine does not have.
    """
    machine, stopwatch = machine_for(budget, recorded)
    plan = derive_plan(fingerprint, budget, machine, name, preset)
    # Times taken in proportion to those of the budget are no measurements; the budget's give them again.
    timings = budget.timings or tuple(stopwatch.timings)
    known = {"precision": machine.precision, "machine": stopwatch.machine, "timings": timings}
    plan = plan.model_copy(update={"budget": budget.model_copy(update=known)})
    return set_by_hand(plan, settings, fingerprint, machine)


def changed_plan(workspace: Workspace, name: str, settings: Sequence[str]) -> Plan:
    """A plan of the workspace with values set by hand, PATH=VALUE; the file is left as it is.

    Raises:
        WorkspaceError: there is no such plan.
        PlanError: a setting breaks a rule, or needs more memory than the plan's budget has.
    """
    plan, facts = workspace.read_plan(name), workspace.fingerprint_file
    if not settings:
        return plan
    found = read_fingerprint(facts) if facts.is_file() else None
    of_plan = found if found is not None and facts_hash(found) == plan.facts else None
    return set_by_hand(plan, settings, of_plan, machine_for(plan.budget)[0])


def plan_in_workspace(
    fingerprint: Fingerprint, workspace: Workspace, name: str, request: Request, told: Sequence[str] = ()
) -> Plan:
    """The plan of that name if it is what was asked for, else a new one, written to the workspace.

    Args:
        fingerprint: facts about the dataset.
        workspace: where the plan is kept.
        name: of the plan.
        request: what is asked of it.
        told: how warnings begin that were shown already; they are in the plan, and not shown again.

    Raises:
        WorkspaceError: models were trained by a plan of that name that differs from what is asked for, or
            that was made when the dataset had other channels or labels.
        PlanError: the request contradicts itself, or asks for what breaks a rule.
    """
    check_request(request)
    path, differing = workspace.plan_file(name), None
    if path.is_file():
        plan = workspace.read_plan(name)
        differing = _difference(plan, fingerprint, request)
        if differing is None:
            logger.info("keeping %s; --name NAME derives another plan beside it", path)
            return plan
        if workspace.has_models(name):
            raise WorkspaceError(
                f"{path}: models were trained by this plan, and it differs from what is asked for now ({differing}). "
                "Derive the new plan under another name (autoseg plan … --name NAME), or leave the options out to go "
                "on with this one."
            )
    budget = resolve_budget(request)
    if request.like is not None:
        plan = take_stages(request.like, request.settings, fingerprint, budget, name, request.labels)
    else:
        preset = request.preset or "standard"
        with made_current(resolve_device(request.device)[1]):  # it is the one that is timed
            plan = make_plan(fingerprint, budget, name, request.settings, preset, _recorded(budget, workspace))
    if differing is not None:
        logger.warning("warning: replacing %s (%s); options that are not given take their defaults", path, differing)
    plan = plan.model_copy(update={"warnings": (*budget_warnings(request, budget), *plan.warnings)})
    write_plan(path, plan)
    for warning in plan.warnings:
        if not any(warning.casefold().startswith(beginning.casefold()) for beginning in told):
            logger.warning("warning: %s", warning)
    for stage in plan.stages:
        _warn_of_short(plan, stage)
    return plan


def may_have_stage(workspace: Workspace, name: str, request: Request, stage: str) -> None:
    """Refuses a stage that `plan_in_workspace` will have in no case, before anything is read or timed for the plan.

    Raises:
        WorkspaceError: there will be no stage of that name.
    """
    if request.like is not None:
        find_stage(request.like, stage)
    elif stage not in DERIVED:
        if workspace.plan_file(name).is_file():
            find_stage(workspace.read_plan(name), stage)
        else:
            raise WorkspaceError(f"no stage '{stage}'{meant(stage, DERIVED)}")


def _warn_of_short(plan: Plan, stage: str) -> None:
    """Says so where the time is too short for the network to learn much, on this machine as it was when timed."""
    decision = plan.decisions.get(f"stages.{stage}.training.minutes")
    minutes, facts = plan.stages[stage].training.minutes, decision.facts if decision else {}
    if minutes is None or "seconds_per_iteration" not in facts:  # nobody reckoned how many iterations fit the time
        return
    seconds = float(facts["seconds_per_iteration"])
    if (done := iterations_done(minutes, seconds)) < FEWEST_ITERATIONS:
        logger.warning(
            "warning: about %s of %s fit %s on this machine as it was when it was timed, and %d are the fewest that "
            "make a model worth having; give it %s or more, or time an idle machine, in another workspace (-w DIR)",
            counted(round(done, 1), "iteration"),
            stage,
            counted(minutes, "minute"),
            FEWEST_ITERATIONS,
            counted(FEWEST_ITERATIONS * seconds / 60, "minute"),
        )


def _recorded(budget: Budget, workspace: Workspace) -> list[Timing]:
    """What plans of this workspace found out about this machine.

    Timing twice gives two results; reusing the first, the same request gives the same plan.
    """
    _, device = resolve_device(budget.device)
    if device is None or budget.minutes is None:
        return []
    machine = name_machine(device)
    budgets = []
    for path in sorted(workspace.plans_folder.glob("*.json")):
        with suppress(PlanError):  # a plan that cannot be read is told when it is asked for
            budgets.append(workspace.read_plan(path.stem).budget)
    return [timing for known in budgets if known.machine == machine for timing in known.timings]


def _difference(plan: Plan, fingerprint: Fingerprint, request: Request) -> str | None:
    """The first thing that was asked for, or that the dataset has, and that a plan does not have."""
    ours, planned = fingerprint.dataset, plan.dataset
    if not ours.is_like(planned):
        return "the dataset has other channels or labels now"
    if plan.facts and plan.facts != facts_hash(fingerprint):
        return "the dataset's cases or what was measured of them changed since"
    if ours.normalisation != planned.normalisation:
        return "the dataset asks for another normalisation now"
    if fingerprint.has_images and planned_without_images(plan):
        return "the plan was made from label maps alone, and there are images now"
    device = None if request.device is None else resolve_device(request.device)[0]
    for name, asked, found in (
        ("--device", device, plan.budget.device),
        ("--memory", request.memory_gb, plan.budget.memory_gb),
        ("--minutes", request.minutes, plan.budget.minutes),
    ):
        if asked is not None and asked != found:
            return f"{name} {asked}, the plan has {found}"
    if request.timings is not None and _speed(request.timings) != _speed(plan):
        return f"--timings {request.timings.name}, the plan was made with others"
    if request.preset not in (None, plan.preset):
        origin = f"derived by {plan.preset}" if plan.preset else "not derived by a preset"
        return f"--preset {request.preset}, the plan was {origin}"
    if request.settings and with_settings(plan, request.settings) != plan:
        return "--set " + " --set ".join(request.settings)
    if request.like is not None and not _is_like(plan, request.like, request):
        return f"--like {request.like.name}"
    return None


def _is_like(plan: Plan, like: Plan, request: Request) -> bool:
    """Whether a plan has the stages of another, whatever labels are called in that."""
    theirs, ours = like.dataset.labels, plan.dataset.labels
    if theirs.outputs != ours.outputs:
        return False
    names = label_names(theirs, ours, request.labels)
    stages = {name: relabelled(stage, names) for name, stage in like.stages.items()}
    renamed = like.model_copy(update={"stages": stages, "dataset": plan.dataset})
    return _untimed(with_settings(renamed, request.settings)) == _untimed(plan)


def _speed(plan: Plan) -> tuple[str, tuple[Timing, ...]]:
    """All that a plan knows of its machine's speed."""
    return plan.budget.machine, plan.budget.timings


def _untimed(plan: Plan) -> dict[str, Stage]:
    """The stages of a plan, whatever their minutes: a request has those of its own."""
    return {name: timed(stage, 1.0) for name, stage in plan.stages.items()}
