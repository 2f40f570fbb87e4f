"""What the planner asks of the machine it plans for."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from autoseg.dataset.description import Description
from autoseg.plan.plan import Stage
from autoseg.plan.training import Precision


class Machine(NamedTuple):
    """What a machine can do. The caller measures; the planner only asks.

    Attributes:
        precision: the number type networks are trained fastest in without losing accuracy.
        seconds_per_iteration: of training a stage on a dataset of this description. It costs
            seconds, so it is asked only when the budget limits the minutes.
        training_bytes: at the peak of a training step, as tensors hold them. Predicted, in about a second.
        inference_bytes: at the peak of predicting an image of a shape, (z, y, x) in the array's order.
        margin: what comes on top of predicted bytes, as a share of them, for what no trace sees, 0…1.
    """

    precision: Precision
    seconds_per_iteration: Callable[[Stage, Description], float]
    training_bytes: Callable[[Stage, Description], int]
    inference_bytes: Callable[[Stage, Description, tuple[int, ...]], int]
    margin: float
