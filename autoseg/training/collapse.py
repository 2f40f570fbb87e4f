"""Labels that a network does not find at all.

Comes in: the log. Goes out: the labels whose Dice has been 0 all along.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

LATE = 1 / 3  # share of a training after which a label should have been found


def never_found(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The targets with a validation Dice of 0 in every epoch that has one.

    >>> never_found([{"dice": {"kidney": 0.0, "tumour": 0.0}}, {"dice": {"kidney": 0.4, "tumour": None}}])
    ['tumour']
    """
    found: dict[str, list[float]] = {}
    for row in rows:
        for target, dice in row["dice"].items():
            if dice is not None:
                found.setdefault(target, []).append(dice)
    return [target for target, values in found.items() if max(values) == 0]
