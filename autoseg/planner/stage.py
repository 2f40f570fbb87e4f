"""One stage of a plan: what the memory and the time leave of the network one would like.

Comes in: the grounds all stages share, the images as one stage sees them, and the network that fits the
memory (`sizes.py`). Goes out: `Parts`, path within a stage → decision.

With `standard` and a time limit the network is one that learns enough in the time (`time.py`).
"""

from __future__ import annotations

from autoseg.planner.candidate import Candidate
from autoseg.planner.parts import (
    Grounds,
    Parts,
    StageImages,
    build_stage,
    common_parts,
    fitted_parts,
    revised,
    size_parts,
)
from autoseg.planner.sizes import Sizes, some_seconds
from autoseg.planner.time import fit_time


def derive_parts(grounds: Grounds, images: StageImages, planned: Sizes) -> Parts:
    """Every value of a stage, with its reason.

    Args:
        grounds: what all stages are derived from.
        images: as this one sees them.
        planned: what fits the memory.
    """
    common, sizes = common_parts(grounds, images), size_parts(*planned)
    if grounds.budget.minutes is None:
        return {**common, **sizes, **fitted_parts(planned.candidate, None, grounds, images)}

    def seconds_per_iteration(rung: Candidate) -> float:
        fitted = fitted_parts(rung, some_seconds(grounds), grounds, images)
        stage = build_stage({**common, **revised(sizes, rung, None), **fitted})
        return grounds.machine.seconds_per_iteration(stage, grounds.fingerprint.dataset)

    if grounds.preset.as_nnunet:
        seconds = seconds_per_iteration(planned.candidate)
        return {**common, **sizes, **fitted_parts(planned.candidate, seconds, grounds, images)}
    outputs, minutes = grounds.outputs, grounds.budget.minutes
    pace = fit_time(planned.candidate, images.spacing.value, outputs, minutes, seconds_per_iteration)
    chosen, seconds = pace.value
    return {**common, **revised(sizes, chosen, pace), **fitted_parts(chosen, seconds, grounds, images)}
