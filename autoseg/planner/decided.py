"""A value and why it is what it is: what every rule of the planner gives back."""

from __future__ import annotations

from collections.abc import Iterable
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


def by(sizes: Iterable[float], digits: int = 0) -> str:
    """Sizes along axes as people read them.

    >>> by((36, 50, 35)), by((1.0, 0.5), digits=2)
    ('36 × 50 × 35', '1.00 × 0.50')
    """
    return " × ".join(f"{size:.{digits}f}" for size in sizes)
