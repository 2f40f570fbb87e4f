"""A plan for a dataset on this machine, and when a plan that is there may be used again.

Comes in: a fingerprint and a budget, or what a person asked for. Goes out: a plan. The planner asks
what a step costs of the functions handed to it here.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

import torch

from autoseg.dataset import Description
from autoseg.errors import AutosegError, PlanError, WorkspaceError
from autoseg.fingerprint import Fingerprint
from autoseg.networks.devices import best_precision, find_device, memory_gb
from autoseg.plan import Budget, Decision, Plan, Stage, check_plan, with_settings, write_plan
from autoseg.plan.training import Training
from autoseg.planner import Machine, derive_plan
from autoseg.planner.time import MINIMUM_ITERATIONS
from autoseg.training import seconds_per_iteration
from autoseg.workflow.workspace import Workspace

logger = logging.getLogger(__name__)


class Request(NamedTuple):
    """What a person asked of a plan; None where they left it open.

    Attributes:
        device: "cpu", "cuda", "mps"; "auto" or None takes the best this machine has.
        memory_gb: memory for training; None takes the device's.
        minutes: training time of one model.
        settings: values set by hand, PATH=VALUE.
        like: a plan whose stages are taken instead of deriving them.
    """

    device: str | None = None
    memory_gb: float | None = None
    minutes: float | None = None
    settings: Sequence[str] = ()
    like: Plan | None = None


def make_plan(fingerprint: Fingerprint, budget: Budget, name: str = "default", settings: Sequence[str] = ()) -> Plan:
    """Derives a plan.

    Args:
        fingerprint: facts about the dataset.
        budget: device, memory and minutes. With minutes, the candidates are timed on this machine.
        name: of the plan.
        settings: values set by hand, PATH=VALUE.

    Raises:
        PlanError: the budget is too small, or a setting breaks a rule.
        AutosegError: minutes are given for a device that this machine does not have.
    """
    return with_settings(derive_plan(fingerprint, budget, machine_for(budget), name), settings)


def machine_for(budget: Budget) -> Machine:
    """The machine to plan for: this one, or one with the device that the budget names."""
    try:
        device = find_device(budget.device)
    except AutosegError as absent:
        if budget.minutes is not None:
            raise AutosegError(
                f"{absent} A plan for a number of minutes is made where it is trained, for the candidates are timed "
                "there; without minutes it can be made anywhere."
            ) from None
        # Planned here, trained elsewhere: nothing to time, and GPUs of the last years compute in bfloat16.
        return Machine("bfloat16" if budget.device == "cuda" else "float32", _cannot_measure)

    def seconds(stage: Stage, dataset: Description) -> float:
        found = seconds_per_iteration(stage, dataset, device)
        network, sampling = stage.network, stage.sampling
        logger.info(
            "timed: %d-D, %d first features, batches of %d: %.2g s an iteration",
            stage.dimensions,
            network.features[0],
            sampling.batch_size,
            found,
        )
        return found

    return Machine(best_precision(device), seconds)


def plan_in_workspace(fingerprint: Fingerprint, workspace: Workspace, name: str, request: Request) -> Plan:
    """The plan of that name if it is what was asked for, else a new one, written to the workspace.

    Raises:
        WorkspaceError: models were trained by a plan of that name that differs from what is asked for, or
            that was made when the dataset had other channels or labels.
    """
    path = workspace.plan_file(name)
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
        plan = with_settings(retarget(request.like, fingerprint, budget, name), request.settings)
    else:
        plan = make_plan(fingerprint, budget, name, request.settings)
    write_plan(path, plan)
    for stage_name, stage in plan.stages.items():
        _warn_of_short(stage_name, stage.training)
    return plan


def _warn_of_short(stage: str, training: Training) -> None:
    """Says so where the time is too short for the network to learn much, on this machine as it was when timed."""
    iterations = training.epochs * training.iterations_per_epoch
    if training.minutes is not None and iterations < MINIMUM_ITERATIONS:
        needed = training.minutes * MINIMUM_ITERATIONS / iterations
        logger.warning(
            "warning: about %d iterations of %s fit %g minutes on this machine as it is now; "
            "give it %.2g minutes or more, or an idle machine, for a model worth having",
            iterations,
            stage,
            training.minutes,
            needed,
        )


def resolve_budget(request: Request) -> Budget:
    """The budget a request amounts to on this machine."""
    chosen = request.device if request.device not in (None, "auto") else find_device("auto").type
    if chosen not in ("cpu", "cuda", "mps"):
        raise PlanError(f"--device {chosen}: expected auto, cpu, cuda or mps.")
    memory = request.memory_gb
    if memory is None:
        memory = round(memory_gb(torch.device(chosen)), 1) if _is_present(chosen) else Budget().memory_gb
    return Budget.model_validate({"device": chosen, "memory_gb": memory, "minutes": request.minutes})


def retarget(plan: Plan, fingerprint: Fingerprint, budget: Budget, name: str) -> Plan:
    """The stages of a plan for another dataset of as many channels and outputs, trained for the minutes given.

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
    stages = plan.stages
    if ours.dimensions == 2 and any(stage.dimensions == 3 for stage in stages.values()):
        raise PlanError(f"--like: plan '{plan.name}' has stages for volumes, this dataset holds 2-D images.")
    if budget.minutes is not None:
        stages = {stage: _timed(plan.stages[stage], budget.minutes) for stage in stages}
    taken = Decision(value=plan.name, rule="like", reason=f"All of this stage is taken from plan '{plan.name}'.")
    decisions = {f"stages.{stage}": taken for stage in stages}
    update = {"name": name, "dataset": ours, "budget": budget, "stages": stages, "decisions": decisions}
    changed = plan.model_copy(update=update)
    return check_plan(changed.model_dump(mode="json"), f"--like {plan.name}")


def _timed(stage: Stage, minutes: float) -> Stage:
    training = stage.training.model_copy(update={"minutes": minutes})
    return stage.model_copy(update={"training": training})


def _difference(plan: Plan, fingerprint: Fingerprint, request: Request) -> str | None:
    """The first thing that was asked for, or that the dataset has, and that a plan does not have."""
    ours, planned = fingerprint.dataset, plan.dataset
    if (ours.channels, ours.labels) != (planned.channels, planned.labels):
        return "the dataset has other channels or labels now"
    for name, asked, found in (
        ("--device", None if request.device == "auto" else request.device, plan.budget.device),
        ("--memory", request.memory_gb, plan.budget.memory_gb),
        ("--minutes", request.minutes, plan.budget.minutes),
    ):
        if asked is not None and asked != found:
            return f"{name} {asked}, the plan has {found}"
    if request.settings and with_settings(plan, request.settings) != plan:
        return "--set " + " --set ".join(request.settings)
    if request.like is not None and _untimed(with_settings(request.like, request.settings)) != _untimed(plan):
        return f"--like {request.like.name}"
    return None


def _untimed(plan: Plan) -> dict[str, Stage]:
    """The stages of a plan, whatever their minutes: a request has those of its own."""
    return {name: _timed(stage, 1.0) for name, stage in plan.stages.items()}


def _is_present(device: str) -> bool:
    try:
        find_device(device)
    except AutosegError:
        return False
    return True


def _cannot_measure(stage: Stage, dataset: Description) -> float:
    raise AssertionError("the planner asks for times only when minutes are given")
