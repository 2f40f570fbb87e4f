"""A plan in words.

Comes in: a plan. Goes out: text that says, for every value that was decided, what it is, why,
by which rule and from which facts.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from typing import Any

from autoseg.plan import Decision, Plan

COLUMNS = 100
LONGEST_FACT = 120  # characters; a list over all cases is told by its beginning
# In the order in which an image meets them.
PARTS = (
    "dimensions",
    "preprocessing",
    "network",
    "sampling",
    "augmentation",
    "loss",
    "optimizer",
    "schedule",
    "training",
    "inference",
)


def explain(plan: Plan) -> str:
    """Tells what the plan is for, then every decision, stage by stage and part by part.

    Lines are at most about 100 characters wide.
    """
    lines = _heading(plan)
    general = {path: decision for path, decision in plan.decisions.items() if not path.startswith("stages.")}
    if general:
        lines += ["", "In general"]
        for path, decision in general.items():
            lines += _told(path, decision, "  ")
    for name in plan.stages:
        lines += ["", *_stage(plan, name)]
    if not plan.decisions:
        lines += ["", "The plan records no decisions: it was written by hand."]
    return "\n".join(lines) + "\n"


def _heading(plan: Plan) -> list[str]:
    dataset, budget = plan.dataset, plan.budget
    time = "as long as nnU-Net trains" if budget.minutes is None else f"{budget.minutes:g} minutes for each model"
    regions = [f"{name} = {' + '.join(map(str, region.values))}" for name, region in dataset.labels.regions.items()]
    entries = {
        "dataset": f"{dataset.name}, {dataset.dimensions}-D images",
        "channels": ", ".join(dataset.channels),
        "labels": dataset.labels.described(),
        "regions": ", ".join(regions),
        "budget": f"{budget.device}, {budget.memory_gb:g} GB of memory, {time}",
        "stages": ", ".join(plan.stages),
    }
    lines = [f"Plan '{plan.name}'"]
    for name, entry in entries.items():
        if entry:
            lines += _wrapped(entry, f"  {name:<10}", " " * 12)
    return lines


def _stage(plan: Plan, name: str) -> list[str]:
    prefix = f"stages.{name}"
    lines = [f"Stage {name}"]
    if prefix in plan.decisions:  # about the stage as a whole
        lines += _told(name, plan.decisions[prefix], "  ")
    for part, decisions in _by_part(plan.decisions, prefix + ".").items():
        if part in decisions:  # the part is one value
            lines += ["", *_told(part, decisions.pop(part), "  ")]
        if decisions:
            lines += ["", f"  {part}"]
        for path, decision in decisions.items():
            lines += _told(path, decision, "    ")
    return lines


def _by_part(decisions: Mapping[str, Decision], prefix: str) -> dict[str, dict[str, Decision]]:
    """Part of the stage → path within the part → decision; the parts in their order, others last."""
    found: dict[str, dict[str, Decision]] = {part: {} for part in PARTS}
    for path, decision in decisions.items():
        if path.startswith(prefix):
            part, _, rest = path.removeprefix(prefix).partition(".")
            found.setdefault(part, {})[rest or part] = decision
    return {part: inside for part, inside in found.items() if inside}


def _told(path: str, decision: Decision, indent: str) -> list[str]:
    inner = indent + "    "
    value = decision.value
    if isinstance(value, list | tuple) and any(isinstance(entry, Mapping) for entry in value):
        lines = [f"{indent}{path} ="]
        for entry in value:
            lines += _wrapped(_text(entry), inner + "- ", inner + "  ")
    else:
        lines = _wrapped(f"{path} = {_text(value)}", indent, inner)
    source = f"rule: {decision.rule}"
    if decision.facts:
        source += "; from " + ", ".join(f"{name} {_shortened(_text(fact))}" for name, fact in decision.facts.items())
    return [*lines, *_wrapped(decision.reason, inner, inner), *_wrapped(source, inner, inner)]


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_FACT else text[: LONGEST_FACT - 1] + "…"


def _text(value: Any) -> str:
    """A value as people read it.

    >>> _text({"kind": "blur", "probability": 0.2, "sigma": {"low": 0.5, "high": 1.0}, "axes": [0, 1]})
    'blur: probability 0.2, sigma 0.5…1, axes [0, 1]'
    """
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_text, value))}]"
    if not isinstance(value, Mapping):
        return value if isinstance(value, str) else json.dumps(value)
    if set(value) == {"low", "high"}:
        return f"{_text(value['low'])}…{_text(value['high'])}"
    fields = ", ".join(f"{name} {_text(field)}" for name, field in value.items() if name != "kind")
    if "kind" not in value:
        return f"{{{fields}}}"
    return f"{value['kind']}: {fields}" if fields else str(value["kind"])


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    return textwrap.wrap(
        text, COLUMNS, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
