"""A plan in words.

Comes in: a plan. Goes out: text that says what is planned at a glance, and then, for every value that
was decided, what it is, why, what it would be otherwise, by which rule and from which numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from autoseg.phrases import counted, number
from autoseg.plan import Plan
from autoseg.planner.length import EPOCHS, ITERATIONS
from autoseg.reporting.decisions import StageValue, stage_values
from autoseg.reporting.glance import glance
from autoseg.reporting.wording import COLUMNS, SECTIONS, name_of, plain, told_facts, wrapped

PRESETS = {
    "standard": "autoseg's own rules",
    "nnunet": "nnU-Net's rules",
    "nnunet-resenc-m": "nnU-Net's rules for residual encoders, medium",
    "nnunet-resenc-l": "nnU-Net's rules for residual encoders, large",
    "nnunet-resenc-xl": "nnU-Net's rules for residual encoders, very large",
}
DEVICES = {"cpu": "the processor (cpu)", "cuda": "a GPU (cuda)", "mps": "an Apple GPU (mps)"}
HOW_TO_READ = (
    "Now each value with its reason and, where there was a choice, what it would be otherwise. The last line, in "
    "brackets, names its path, the rule that decided it, and further numbers that the rule went by."
)
UNEXPLAINED = "The plan records no decisions: it was written by hand. Now each value, with its path in brackets."
WITHOUT_REASON = "Values that have nothing but a path: the plan does not record why they are so."
HOW_TO_SET = "--set stages.STAGE.PATH=VALUE sets a value by hand (stages.*.PATH: in every stage)."
SAME = "Fixed values, most of them nnU-Net's (Isensee et al. 2021, doi:10.1038/s41592-020-01008-z)."
FEW = 3  # values that a stage has of its own; with so few, it is a variant of another stage

Values = Mapping[str, StageValue]


def explain(plan: Plan) -> str:
    """Tells what the plan is for, its stages at a glance, then every decision, stage by stage and part by part.

    What stages share is told once. Lines are at most about 100 characters wide.
    """
    stages = {name: stage_values(plan, name) for name in plan.stages}
    lines = [*_heading(plan, stages), *_warnings(plan), "", "At a glance", "", *glance(plan)]
    lines += ["", *wrapped(f"{HOW_TO_READ if plan.decisions else UNEXPLAINED} {HOW_TO_SET}")]
    general = [path for path in plan.decisions if not path.startswith("stages.")]
    for path in general:
        value = StageValue(path, [plain(plan.decisions[path].value)], plan.decisions[path], "")
        lines += ["", *_told([value], {})]
    for name in plan.stages:
        lines += ["", *_stage(plan, name, stages)]
    return "\n".join([*lines, *_same(stages)]) + "\n"


def _heading(plan: Plan, stages: Mapping[str, Values]) -> list[str]:
    dataset, budget = plan.dataset, plan.budget
    regions = [f"{name} = {' + '.join(map(str, region.values))}" for name, region in dataset.labels.regions.items()]
    timed = f"; networks timed: {len(budget.timings)}" if budget.timings else ""
    entries = {
        "preset": f"{plan.preset}: {PRESETS[plan.preset]}" if plan.preset else f"none: {_origin(plan)}",
        "dataset": f"{dataset.name}, {dataset.dimensions}-D images",
        "channels": ", ".join(dataset.channels),
        "labels": dataset.labels.described(),
        "regions": ", ".join(regions),
        "budget": f"for each model {number(budget.memory_gb)} GB of memory on {DEVICES[budget.device]}, {_time(plan)}",
        "machine": f"{budget.machine}{timed}" if budget.machine else "",
        "by hand": _by_hand(stages),
    }
    lines = [f"Plan '{plan.name}'", ""]
    for name, entry in entries.items():
        if entry:
            lines += wrapped(entry, f"  {name:<10}", " " * 12)
    return lines


def _time(plan: Plan) -> str:
    """How long a model is trained."""
    if plan.budget.minutes is not None:
        return f"{counted(plan.budget.minutes, 'minute')} of training"
    lengths = {
        (stage.training.epochs, stage.training.iterations_per_epoch, stage.training.minutes)
        for stage in plan.stages.values()
    }
    if lengths == {(EPOCHS, ITERATIONS, None)}:
        return "trained as long as nnU-Net"
    return "without a time limit for all; the table says how long each stage is trained"


def _origin(plan: Plan) -> str:
    """Where the stages of a plan come from that no preset derived."""
    taken = [plan.decisions.get(f"stages.{stage}") for stage in plan.stages]
    others = dict.fromkeys(plain(decision.value) for decision in taken if decision and decision.rule == "like")
    if not others:
        return "no rules derived its stages"
    count = sum(decision is not None and decision.rule == "like" for decision in taken)
    return f"{counted(count, 'stage')} taken from plan '{', '.join(others)}' (--like)"


def _by_hand(stages: Mapping[str, Values]) -> str:
    """How many values people changed, and which."""
    found: dict[str, list[str]] = {}
    for stage, values in stages.items():
        for path, value in values.items():
            if value.mark:
                found.setdefault(path, []).append(stage)
    if not found:
        return ""
    count = sum(map(len, found.values()))
    named = [f"{name_of(path)} ({_in(where, stages)})" for path, where in found.items()]
    return (
        f"{counted(count, 'value')} set by hand: {', '.join(named)}. The reasons of the others are as they were before."
    )


def _in(where: Sequence[str], stages: Iterable[str]) -> str:
    return "every stage" if list(where) == list(stages) else ", ".join(where)


def _warnings(plan: Plan) -> list[str]:
    if not plan.warnings:
        return []
    lines = ["", f"{len(plan.warnings)} WARNING{'S' * (len(plan.warnings) > 1)}"]
    for warning in plan.warnings:
        lines += wrapped(warning, "  ! ", "    ")
    return lines


def _stage(plan: Plan, name: str, stages: Mapping[str, Values]) -> list[str]:
    lines = [f"Stage {name} ".ljust(COLUMNS, "-")]
    if whole := plan.decisions.get(f"stages.{name}"):
        lines += ["", *wrapped(f"{whole.reason} [rule {whole.rule}]", "  ", "  ")]
    elif plan.decisions and any(value.decision is None for value in stages[name].values()):
        lines += ["", f"  {WITHOUT_REASON}"]
    shared = _shared(name, stages)
    own = [value for path, value in stages[name].items() if not (value.is_convention or path in shared)]
    lines += _as_in(name, shared, stages, len(own))
    told: dict[tuple[str, str], str] = {}
    for title, values in _by_section(own).items():
        lines += ["", f"  {title}"]
        for _, alike in groupby(values, key=lambda value: value.grounds):
            lines += _told(list(alike), told)
    return lines


def _shared(name: str, stages: Mapping[str, Values]) -> dict[str, str]:
    """Path → the earlier stage where the same decision is told."""
    found = {}
    for path, value in stages[name].items():
        if value.is_convention:
            continue
        for earlier, others in stages.items():
            if earlier == name:
                break
            if path in others and value.is_same(others[path]):
                found[path] = earlier
                break
    return found


def _as_in(name: str, shared: Mapping[str, str], stages: Mapping[str, Values], own: int) -> list[str]:
    """What the stage shares with others, a paragraph a stage."""
    if not shared:
        return []
    for other in reversed(list(stages)[: list(stages).index(name)]):
        if own <= FEW and all(stages[name][path].is_same(stages[other].get(path)) for path in shared):
            return ["", f"  As in {other}: everything else."]
    lines = [""]
    for other in dict.fromkeys(shared.values()):
        names = ", ".join(name_of(path) for path, where in shared.items() if where == other)
        lines += wrapped(f"As in {other}: {names}.", "  ", "    ")
    return lines


def _by_section(values: Iterable[StageValue]) -> dict[str, list[StageValue]]:
    """Title → values; what belongs to no section comes last."""
    found: dict[str, list[StageValue]] = {title: [] for title in (*SECTIONS, "Other")}
    titles = {part: title for title, parts in SECTIONS.items() for part in parts}
    for value in values:
        found[titles.get(value.path.split(".")[0], "Other")].append(value)
    return {title: inside for title, inside in found.items() if inside}


def _told(values: Sequence[StageValue], told: dict[tuple[str, str], str]) -> list[str]:
    """Values that were decided together, and why.

    Args:
        values: of one rule and one reason.
        told: the reasons told so far in the stage → the name of a value; new ones are added.
    """
    lines: list[str] = []
    for value in values:
        lines += _said(value)
    decision, inner = values[0].decision, " " * 8
    if decision is None:
        return lines
    facts = told_facts(decision)
    if not values[0].mark:
        key = (decision.rule, decision.reason)
        if key in told:
            lines += wrapped(f"For the same reason as {told[key]}, above.", inner, inner)
            facts = []
        else:
            told[key] = name_of(values[0].path)
            lines += wrapped(decision.reason, inner, inner)
            if decision.alternative:
                lines += wrapped(f"otherwise: {decision.alternative}", inner, inner + "  ")
    paths = [] if values[0].path == "memory" else [", ".join(value.path for value in values)]
    source = "; ".join([*paths, f"rule {decision.rule}", *facts])
    return [*lines, *wrapped(f"[{source}]", inner, inner + " ")]


def _said(value: StageValue) -> list[str]:
    """Name and value, how people changed it, and where nothing more is known its path."""
    after = f"  <- {value.mark}" if value.mark else ""
    if value.decision is None:
        after += f"  [{value.path}]"
    if len(value.lines) == 1:
        return wrapped(f"{name_of(value.path)} = {value.lines[0]}{after}", "    ", "        ")
    entries = [line for entry in value.lines for line in wrapped(entry, " " * 12, " " * 14)]
    return [*wrapped(f"{name_of(value.path)}:{after}", "    ", "        "), *entries]


def _same(stages: Mapping[str, Values]) -> list[str]:
    """The values that are the same for every dataset, one after the other."""
    found: dict[tuple[str, str], list[str]] = {}
    for stage, values in stages.items():
        for value in values.values():
            if value.is_convention and value.decision:
                text = f"{name_of(value.path)} = {'; '.join(value.lines)}"
                said = f"{value.decision.reason} [{value.path}]"
                found.setdefault((text, said), []).append(stage)
    lines = ["", "The same for every dataset ".ljust(COLUMNS, "-"), "", *wrapped(SAME, "  ", "  "), ""] if found else []
    for (text, said), where in found.items():
        only = "" if len(where) == len(stages) else f" ({', '.join(where)})"
        lines += wrapped(f"{text}{only}: {said}", "  ", "      ")
    return lines
