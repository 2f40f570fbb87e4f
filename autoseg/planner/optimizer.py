"""How the weights are fitted: by what suits the number of iterations there is time for."""

from __future__ import annotations

from autoseg.plan.training import SGD, AdamW, Optimizer
from autoseg.planner.decided import Decided
from autoseg.planner.length import FEW_ITERATIONS


def optimizer(iterations: float) -> Decided[Optimizer]:
    """Gradient descent with strong momentum for long trainings, AdamW for short ones.

    Momentum 0.99 averages over the last hundred steps and needs several hundred to leave the
    background: on hippocampus (3-D, 16 features, batches of 4) a training of 300 iterations still
    predicts nothing after 150, where AdamW has reached a patch Dice of 0.75.

    Args:
        iterations: expected in the whole training.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, for long trainings; the rest is measured.
    """
    facts = {"iterations": round(iterations), "few_iterations": FEW_ITERATIONS}
    if iterations < FEW_ITERATIONS:
        reason = f"About {iterations:.0f} iterations are few: AdamW learns from the first, momentum needs hundreds."
        return Decided(AdamW(), "optimizer", facts, reason)
    reason = f"In {iterations:.0f} iterations, gradient descent with strong momentum settles better than AdamW."
    return Decided(SGD(), "optimizer", facts, reason)
