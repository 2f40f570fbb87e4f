"""A value and why it is what it is: what every rule of the planner gives back."""

from __future__ import annotations

import math
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


def by(sizes: Iterable[float]) -> str:
    """Voxels along axes as people read them.

    >>> by((36, 50, 35))
    '36 × 50 × 35'
    """
    return " × ".join(f"{size:.0f}" for size in sizes)


def number(value: float) -> str:
    """A number with the digits that count and without an exponent.

    >>> number(0.00003), number(12.0), number(-1 / 3), number(0.9374), number(250000), number(1234.56)
    ('0.00003', '12', '-0.333', '0.937', '250,000', '1235')
    """
    if value == round(value) or abs(value) >= 1000:
        return f"{round(value):,}" if abs(value) >= 10_000 else str(round(value))
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}".rstrip("0").rstrip(".")


def percent(share: float) -> str:
    """A share as people read it.

    >>> percent(0.33), percent(0.125), percent(26.9)
    ('33 %', '12.5 %', '2690 %')
    """
    return f"{number(100 * share)} %"


def counted(count: float, noun: str) -> str:
    """A number of things as people read it.

    >>> counted(1, "case"), counted(20.0, "minute"), counted(0.25, "minute")
    ('1 case', '20 minutes', '0.25 minutes')
    """
    return f"{number(count)} {noun}{'s' * (number(count) != '1')}"
