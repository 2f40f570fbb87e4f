"""What the planner asks of the machine it plans for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from autoseg.dataset.description import Description
from autoseg.plan.plan import Stage


class Machine(NamedTuple):
    """What a machine can do. The caller measures; the planner only asks.

    Attributes:
        precision: the number type networks are trained fastest in without losing accuracy.
        seconds_per_iteration: of training a stage on a dataset of this description. It costs
            seconds, so it is asked only when the budget limits the minutes.
    """

    precision: Literal["float32", "bfloat16", "float16"]
    seconds_per_iteration: Callable[[Stage, Description], float]
