"""What a person asks of a plan, and the budget that it amounts to on this machine.

Comes in: options. Goes out: a `Request` that does not contradict itself, a `Budget`, and what is to be said of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from autoseg.errors import PlanError
from autoseg.networks.devices import all_memory_gb, memory_gb, resolve_device
from autoseg.phrases import number
from autoseg.plan import Budget, Plan, PresetName
from autoseg.planner.presets import PRESETS


class Request(NamedTuple):
    """What a person asked of a plan; None where they left it open.

    Attributes:
        device: "cpu", "cuda", "mps", or one of this machine's GPUs, "cuda:1"; None takes the best it has.
        memory_gb: memory for training; None takes the device's.
        minutes: training time of one model.
        settings: values set by hand, PATH=VALUE.
        like: a plan whose stages are taken instead of deriving them.
        preset: the rules to derive it by; None takes `standard` for a new plan.
        timings: a plan made on the machine to plan for; its timings are taken instead of measuring.
        labels: THEIRS=OURS, which label of the plan in `like` is which of this dataset's.
    """

    device: str | None = None
    memory_gb: float | None = None
    minutes: float | None = None
    settings: Sequence[str] = ()
    like: Plan | None = None
    preset: PresetName | None = None
    timings: Plan | None = None
    labels: Sequence[str] = ()


def check_request(request: Request) -> Request:
    """The request itself, if it does not contradict itself.

    Raises:
        PlanError: it asks for the stages of another plan, and for rules to derive them by; or for timings that
            a plan does not have.
    """
    if request.like is not None and request.preset is not None:
        raise PlanError(
            f"--preset {request.preset} derives the stages, --like {request.like.name} takes them as they are: "
            "give one of the two."
        )
    if request.like is not None and request.timings is not None:
        raise PlanError("--timings chooses networks that are fast enough, --like takes them as they are: give one.")
    if request.labels and request.like is None:
        raise PlanError(
            f"--label {request.labels[0]} says what a label of another plan is here, which counts only with --like: "
            "give both."
        )
    if request.timings is not None and request.minutes is None:
        raise PlanError("--timings says how fast a machine is, which counts only with --minutes: give both.")
    if request.timings is not None and not request.timings.budget.timings:
        raise PlanError(
            f"--timings: plan '{request.timings.name}' holds none, for it was made without --minutes. Give one "
            "that was made with --minutes on the machine to plan for."
        )
    return request


def resolve_budget(request: Request) -> Budget:
    """The budget a request amounts to on this machine.

    Raises:
        AutosegError: no such device.
        PlanError: the timings are of another kind of device.
    """
    recorded = request.timings.budget if request.timings else Budget()
    chosen, device = resolve_device(request.device)
    memory = request.memory_gb
    if memory is None and request.preset in PRESETS:
        memory = PRESETS[request.preset].reference_gb  # nnU-Net's own target, whatever there is
    if memory is None:
        memory = round(memory_gb(device), 1) if device else recorded.memory_gb
    budget = Budget.model_validate({"device": chosen, "memory_gb": memory, "minutes": request.minutes})
    if request.timings is None:
        return budget
    if recorded.device != chosen:
        raise PlanError(
            f"--timings: plan '{request.timings.name}' was timed on {recorded.device}, "
            f"the plan asked for is for {chosen}: add --device {recorded.device}."
        )
    known = recorded.model_dump(include={"precision", "machine"})
    return budget.model_copy(update={**known, "timings": recorded.timings})


def budget_warnings(request: Request, budget: Budget) -> tuple[str, ...]:
    """What a person should know of a budget: that its memory was assumed, or is more than this machine has.

    Args:
        request: what was asked for.
        budget: what it amounts to.
    """
    _, device = resolve_device(request.device)
    asked = request.memory_gb is not None or request.preset in PRESETS or request.timings is not None
    if device is None and not asked:
        return (
            f"No memory was given, and this machine has no device '{budget.device}' to ask: the plan assumes "
            f"{number(budget.memory_gb)} GB. Give the memory of the device it will be trained on (--memory GB).",
        )
    if device is not None and budget.memory_gb > (there := all_memory_gb(device)):
        return (
            f"The plan is for {number(budget.memory_gb)} GB of memory, and this machine has {number(round(there, 1))} "
            f"({device.type}): a training here may run out of it. If it is to be trained here, give what there is "
            "(--memory GB).",
        )
    return ()
