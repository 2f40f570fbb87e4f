"""Windows that hold only the air around a patient need no network to be background.

Comes in: a stage that says how air is known, its `inference.air`. Goes out: which windows hold nothing else, and
the logits they get.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from autoseg.dataset import Labels
from autoseg.plan import Stage
from autoseg.plan.preprocessing import CTWindow, DivideBy255

CERTAIN = 10.0  # logit: a probability of 0.99995 for what is certain
ROUNDING = 1e-4  # of prepared intensities, which are about 1


def air_test(stage: Stage) -> Callable[[Tensor], bool]:
    """Whether a window, (channels, z, y, x) as prepared, is air; none is, if the plan does not say how it is known."""
    level = _prepared_level(stage)
    if level is None:
        return lambda window: False
    return lambda window: bool(window[0].max() <= level + ROUNDING)


def air_logits(labels: Labels) -> Tensor:
    """Logits of a voxel of air, (outputs, 1, 1, 1): background, and no region."""
    logits = torch.full((labels.outputs, 1, 1, 1), -CERTAIN)
    if not labels.regions:
        logits[0] = CERTAIN
    return logits


def _prepared_level(stage: Stage) -> float | None:
    """The intensity up to which there is air, on the scale of the prepared image."""
    air, scale = stage.inference.air, stage.preprocessing.normalisation[0]
    if air is None:
        return None
    match scale:
        case CTWindow():
            return (min(max(air, scale.lower), scale.upper) - scale.mean) / scale.std
        case DivideBy255():
            return air / 255
        case _:
            return air
