"""The values of a stage, each with the decision behind it.

Comes in: a plan. Goes out: for each value of a stage its words, its decision, and how people changed it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic_core import to_jsonable_python

from autoseg.plan import Decision, Plan, Stage
from autoseg.reporting.values import in_words, value_at
from autoseg.reporting.wording import NAMES, plain

HAND_SET = "hand-set"
STALE = "All of this was predicted before values of the stage were set by hand."


class StageValue(NamedTuple):
    """A value that is told.

    Attributes:
        path: within the stage.
        lines: the value in words, one line or one an entry.
        decision: why it is so; None where the plan does not say.
        mark: how people changed it; empty where a rule decided it.
    """

    path: str
    lines: list[str]
    decision: Decision | None
    mark: str

    @property
    def is_convention(self) -> bool:
        """Whether it is the same for every dataset."""
        return self.decision is not None and self.decision.rule == "conventions" and not self.mark

    @property
    def grounds(self) -> tuple[str, ...]:
        """What values that were decided together have in common."""
        if self.decision is None or self.mark:
            return (self.path,)
        return (self.decision.rule, self.decision.reason, self.decision.alternative)

    def is_same(self, other: StageValue | None) -> bool:
        """Whether both are alike, and were not set by hand but decided by one rule for one reason, if for any."""
        if other is None or self.mark or other.mark:
            return False
        mine, theirs = self.decision, other.decision
        if mine is None or theirs is None:
            return mine is theirs and self.lines == other.lines
        return mine.model_copy(update={"facts": theirs.facts}) == theirs


def stage_values(plan: Plan, name: str) -> dict[str, StageValue]:
    """Path within the stage → the value there, in the order of `NAMES`.

    A decision about a part of a value is told with the whole value, one about a group of values with each
    of them. Values without a decision are there as well.
    """
    stage, prefix = plan.stages[name], f"stages.{name}."
    found: dict[str, tuple[Decision | None, str]] = {}
    for full, decision in plan.decisions.items():
        if full.startswith(prefix):
            decided = full.removeprefix(prefix)
            for path in _covered(decided, stage):
                marks = [found[path][1]] if path in found else []
                found[path] = decision, ", ".join([*marks, *_mark(path, decided, decision, stage)])
    memory, mark = found.get("memory", (None, ""))
    if memory and is_outdated(plan, name):
        found["memory"] = memory.model_copy(update={"reason": f"{memory.reason} {STALE}"}), mark
    for path in NAMES:
        if path not in found and _is_leaf(path, stage):
            found[path] = None, ""
    order = list(NAMES)
    ordered = sorted(found, key=lambda path: order.index(path) if path in order else len(order))
    return {path: StageValue(path, _lines(path, found[path][0], plan, stage), *found[path]) for path in ordered}


def is_outdated(plan: Plan, name: str) -> bool:
    """Whether people changed a stage after its memory was predicted.

    Decisions are in the order in which they were made; what was changed in the plan's file was changed after all.
    """
    prefix, by_hand_since = f"stages.{name}.", False
    if f"{prefix}memory" not in plan.decisions:
        return False
    for full, decision in plan.decisions.items():
        if full.startswith(prefix):
            path = full.removeprefix(prefix)
            if decision.rule != HAND_SET and _mark(path, path, decision, plan.stages[name]):
                return True
            by_hand_since = path != "memory" and (by_hand_since or decision.rule == HAND_SET)
    return by_hand_since


def _covered(decided: str, stage: Stage) -> list[str]:
    """The values that a decision is about."""
    if decided in NAMES:
        return [decided]
    inside = [path for path in NAMES if path.startswith(f"{decided}.") and _is_there(path, stage)]
    around = [path for path in NAMES if decided.startswith(f"{path}.")]
    return inside or around[-1:] or [decided]


def _mark(path: str, decided: str, decision: Decision, stage: Stage) -> list[str]:
    """How people changed a value: by --set, or in the plan's file."""
    if decision.rule == HAND_SET:
        return [f"set by hand ({decided})" if len(decided) > len(path) else "set by hand"]
    if decided == path and _is_there(path, stage) and to_jsonable_python(value_at(stage, path)) != decision.value:
        return [f"changed by hand in the plan's file (rule {decision.rule}: {plain(decision.value)})"]
    return []


def _lines(path: str, decision: Decision | None, plan: Plan, stage: Stage) -> list[str]:
    if _is_there(path, stage):
        return in_words(path, value_at(stage, path), stage, plan.dataset.channels)
    value: Any = decision.value if decision else None
    return in_words(path, value, stage, plan.dataset.channels)


def _is_there(path: str, stage: Stage) -> bool:
    try:
        value_at(stage, path)
    except LookupError:
        return False
    return True


def _is_leaf(path: str, stage: Stage) -> bool:
    """Whether the stage has such a value, and none of its parts is a value of its own."""
    parts = [other for other in NAMES if other.startswith(f"{path}.") and _is_there(other, stage)]
    return _is_there(path, stage) and not parts
