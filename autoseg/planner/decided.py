"""A value and why it is what it is: what every rule of the planner gives back."""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar

Value = TypeVar("Value")


class Decided(NamedTuple, Generic[Value]):
    """A decision.

    Attributes:
        value: what was decided.
        rule: name of the function that decided.
        facts: the numbers it decided from.
        reason: one or two sentences for people, with the numbers in them.
        alternative: what the nearest other choice would have been, with its numbers; empty where there is none.
    """

    value: Value
    rule: str
    facts: dict[str, Any]
    reason: str
    alternative: str = ""
