"""Plans on disk, and single values set in them.

Comes in: a path, or a plan and `PATH=VALUE` settings. Goes out: a checked `Plan`, or one message
that names the field at fault, the value found, and what was meant.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from autoseg.errors import AutosegError, PlanError
from autoseg.files import check_place, parse_json, read_json, write_text
from autoseg.frozen import fault_in_words
from autoseg.phrases import meant
from autoseg.plan.plan import Decision, Plan
from autoseg.plan.text import as_text

DERIVE_AGAIN = "Mend the file, or remove it and derive the plan again with 'autoseg plan'."


def read_plan(path: str | Path) -> Plan:
    """Reads a plan.

    Raises:
        PlanError: the file is absent, is not JSON, is of another format, or breaks a rule; the
            message names each field at fault.
    """
    path = Path(path)
    if path.is_dir():
        raise PlanError(f"{path}: a folder; give the file of a plan, such as {path / 'plans' / 'default.json'}.")
    data = read_json(path, PlanError)
    if not isinstance(data, dict) or data.get("format") != 1:
        found = data.get("format") if isinstance(data, dict) else type(data).__name__
        raise PlanError(
            f"{path}: not a plan of format 1 (found {found!r}). Remove it, and derive it again with 'autoseg plan'."
        )
    return check_plan(data, str(path), remedy=DERIVE_AGAIN)


def write_plan(path: str | Path, plan: Plan) -> None:
    """Writes a plan, atomically."""
    write_text(Path(path), as_text(plan.model_dump(mode="json")) + "\n")


def check_target(path: Path) -> None:
    """Refuses a place for a plan where something else is.

    Raises:
        PlanError: a folder, a device, or a file that is no plan is there; or a part of the path is a file.
    """
    check_place(path, "plan.json", PlanError)
    if not path.exists():
        return
    try:
        found = path.is_file() and read_plan(path)
    except (PlanError, OSError):
        found = None
    if not found:
        raise PlanError(f"{path}: there already, and not a plan. Give another name.")


def check_plan(data: Mapping[str, Any], source: str, remedy: str = "", before: Plan | None = None) -> Plan:
    """JSON → plan; every fault becomes one line of one `PlanError`.

    Args:
        data: the plan.
        source: where it comes from, for the message.
        remedy: the last line of the message.
        before: a plan that is right; its values show how those at fault are written.
    """
    try:
        return Plan.model_validate(data)
    except ValidationError as invalid:
        errors = [error for error in invalid.errors() if not _is_echo(error, invalid.errors())]
        places = [_place(error, data) for error in errors]
        lines = [f"  {place}: {_fault(error, place, before)}" for error, place in zip(errors, places, strict=True)]
        told = [f"{source}: the plan breaks {_count(len(lines))}", *lines, *([remedy] if remedy else [])]
        raise PlanError("\n".join(told)) from None


def with_settings(plan: Plan, settings: Sequence[str]) -> Plan:
    """The plan with values set by hand, each recorded as a hand-set decision.

    Args:
        settings: `PATH=VALUE`, for example `stages.3d_fullres.training.epochs=50`. VALUE is JSON;
            what is not JSON is taken as text. A path that begins with `stages.*.` sets every stage.

    Raises:
        PlanError: no such field, or the value breaks a rule of the plan.
    """
    data = plan.model_dump(mode="json")
    decisions, kinds = data["decisions"], []
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path:
            raise PlanError(f"--set {setting}: expected PATH=VALUE, as in stages.3d_fullres.training.epochs=50")
        try:
            value = parse_json(text)
        except AutosegError as problem:
            raise PlanError(f"--set {setting}: {problem}") from None
        except (ValueError, RecursionError):  # no JSON, a number of thousands of digits, brackets without end
            value = text
        for full_path in _expanded(path, plan):
            _set(data, full_path, value, plan)
            _record(decisions, full_path, value)
            kinds += [(full_path.removesuffix(".kind"), value)] if full_path.endswith(".kind") else []
        if not path.startswith("stages."):
            raise PlanError(f"--set {path}: only values of stages are set by hand; a path begins with 'stages.'")
    if not settings:
        return plan
    try:
        return check_plan(data, "after --set " + " --set ".join(settings), before=plan)
    except PlanError as refused:
        raise PlanError("\n".join([str(refused), *_wholes(kinds, str(refused))])) from None


def _wholes(kinds: Sequence[tuple[str, Any]], refused: str) -> list[str]:
    """How to set a thing of another kind, where the kind alone was set and the fields of the old one do not fit it."""
    more = ",…" if "is missing" in refused else ""
    return [
        f"With another kind come other fields. Set the whole: --set '{path}={{\"kind\":{json.dumps(kind)}{more}}}'"
        for path, kind in kinds
        if f"  {path}." in refused
    ]


def _record(decisions: dict[str, Any], path: str, value: Any) -> None:
    """Notes a hand-set value; decisions about parts of it, or about a whole it is part of, no longer hold.

    The facts about a whole still do, for its other parts. That a stage was taken from another plan still holds for all
    else in it.
    """
    facts: dict[str, Any] = {}
    for known, decision in list(decisions.items()):
        is_whole = path.startswith(f"{known}.") and decision["rule"] != "like"
        if is_whole:
            facts |= decision["facts"]
        if known == path or known.startswith(f"{path}.") or is_whole:
            del decisions[known]
    by_hand = Decision(value=value, rule="hand-set", facts=facts, reason="Set by hand.")
    decisions[path] = by_hand.model_dump(mode="json")


def plan_schema() -> dict[str, Any]:
    """The JSON Schema of plans, for editors and validators."""
    return Plan.model_json_schema()


def _expanded(path: str, plan: Plan) -> list[str]:
    if path.startswith("stages.*."):
        return [f"stages.{stage}.{path.removeprefix('stages.*.')}" for stage in plan.stages]
    return [path]


def _set(data: dict[str, Any], path: str, value: Any, plan: Plan) -> None:
    """Sets one value in place; the parts of a path are keys, or places in a list."""
    *parents, last = path.split(".")
    here: Any = data
    for depth, part in enumerate([*parents, last]):
        known = (
            list(here)
            if isinstance(here, dict)
            else [str(n) for n in range(len(here))]
            if isinstance(here, list)
            else []
        )
        if part not in known:
            place = ".".join(path.split(".")[:depth]) or "the plan"
            raise PlanError(f"--set {path}: {place} has no '{part}'{meant(part, known)}")
        key: Any = part if isinstance(here, dict) else int(part)
        if depth == len(parents):
            here[key] = value
        else:
            here = here[key]


def _is_echo(error: Any, errors: Sequence[Any]) -> bool:
    """Whether a list is too short only because pydantic does not count those of its entries that are at fault."""
    place = error["loc"]
    return error["type"] == "too_short" and any(
        len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in errors
    )


def _place(error: Any, data: Mapping[str, Any]) -> str:
    """The path of a fault; the tag of a discriminated union is no part of it."""
    parts: list[str] = []
    here: Any = data
    for part in error["loc"]:
        inside = isinstance(here, Mapping) and part in here or isinstance(here, list) and isinstance(part, int)
        if inside:
            here = here[part] if not isinstance(here, list) or part < len(here) else None
        elif isinstance(here, Mapping) and here.get("kind") == part:
            continue
        parts.append(str(part))
    return ".".join(parts) or "plan"


def _fault(error: Any, place: str, before: Plan | None) -> str:
    """What pydantic found, in a sentence of ours."""
    if error["type"] == "extra_forbidden":
        return _unknown_field(str(error["loc"][-1]))
    if error["type"] == "union_tag_not_found":
        field = next(part for part in reversed(error["loc"]) if isinstance(part, str))
        return f"kind is missing{meant('', _kinds(field))}"
    said = fault_in_words(error)
    if error["type"] == "tuple_type" and before is not None:
        here: Any = before.model_dump(mode="json")
        for part in place.split("."):
            here = here[int(part)] if isinstance(here, list) else here[part]
        return f"must be a list; write it as {_compact(here)}, which it was (found {_compact(error['input'])})"
    return said


def _compact(value: Any) -> str:
    return json.dumps(value, default=str, ensure_ascii=False, separators=(",", ":"))[:80]


def _unknown_field(name: str) -> str:
    fields = _all_fields(Plan)
    return "no field of this part of the plan." if name in fields else f"no such field{meant(name, fields)}"


def _kinds(field: str) -> list[str]:
    """What `kind` may be in a field of the plan, or in the entries of a list."""
    for part in Plan.model_json_schema()["$defs"].values():
        described = part.get("properties", {}).get(field, {})
        mapping: dict[str, str] = described.get("items", described).get("discriminator", {}).get("mapping", {})
        if mapping:
            return list(mapping)
    return []


def _all_fields(model: type[BaseModel]) -> list[str]:
    """The names of all fields in the tree of plans, for suggestions."""
    names: set[str] = set()

    def collect(schema: Mapping[str, Any]) -> None:
        names.update(schema.get("properties", {}))
        for definition in schema.get("$defs", {}).values():
            collect(definition)

    collect(model.model_json_schema())
    return sorted(names)


def _count(faults: int) -> str:
    return "one rule" if faults == 1 else f"{faults} rules"
