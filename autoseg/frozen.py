"""The base of everything that is data and lands in a file: a frozen pydantic model.

Unknown fields are refused, so a typo in a plan is an error and not a silent default.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

# Of pydantic's kinds of errors those that it tells in Python's words.
_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "no such field",
    "tuple_type": "must be a list, such as [32,48,32]",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be a text",
    "dict_type": "must be an object {…}",
    "model_type": "must be an object {…}",
    "model_attributes_type": "must be an object {…}",
}


class Frozen(BaseModel):
    """Immutable, and strict about its fields; NaN and infinity are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, data: Any) -> Any:
        for name, value in data.items() if isinstance(data, dict) else ():
            if isinstance(value, bool) and name in cls.model_fields:
                wanted = cls.model_fields[name].annotation
                if {int, float} & {wanted, *get_args(wanted)}:
                    raise ValueError(f"{name} must be a number (found {json.dumps(value)})")
        return data


def first_fault(invalid: ValidationError) -> str:
    """The first thing that pydantic found, as people say it, after the name of the field where it has one."""
    error = invalid.errors()[0]
    field = ".".join(str(part) for part in error["loc"])
    return (f"field '{field}': " if field else "") + fault_in_words(error)


def fault_in_words(error: Mapping[str, Any]) -> str:
    """What pydantic found, as people say it: what is wanted, and the value found.

    Args:
        error: an entry of `ValidationError.errors()`.
    """
    kind, bounds = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return str(error["msg"]).removeprefix("Value error, ")
    if kind == "union_tag_invalid":
        return f"kind '{bounds['tag']}' is none of {bounds['expected_tags']}"
    if kind == "too_short":
        wanted = f"must have {_entries(bounds['min_length'])} or more"
    elif kind == "too_long":
        wanted = f"must have {_entries(bounds['max_length'])} at most"
    else:
        wanted = _WORDS.get(kind) or re.sub(r"^(Input|String) should", "must", str(error["msg"]))
    if kind in ("missing", "extra_forbidden"):
        return wanted
    return f"{wanted} (found {json.dumps(error['input'], default=str, ensure_ascii=False)[:80]})"


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"
