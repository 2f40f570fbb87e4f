"""How the weights are fitted: by what suits the number of iterations there is time for."""

from __future__ import annotations

from autoseg.plan.training import SGD, AdamW, Optimizer
from autoseg.planner.decided import Decided
from autoseg.planner.length import FEW_ITERATIONS

SHORT_LEARNING_RATE = 4e-3  # of AdamW


def optimizer(iterations: float, as_nnunet: bool = False) -> Decided[Optimizer]:
    """Gradient descent with strong momentum for long trainings, AdamW for short ones.

    Momentum 0.99 averages over the last hundred steps and needs several hundred to leave the
    background: on hippocampus (3-D, 16 features, batches of 4) a training of 300 iterations still
    predicts nothing after 150, where AdamW has reached a patch Dice of 0.75. Its learning rate is 0.004:
    as many iterations learnt no less with it than with half of it (benchmarks/results/hippocampus_cpu.md).

    Args:
        iterations: expected in the whole training.
        as_nnunet: gradient descent, however few they are.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, for long trainings; the rest is measured.
    """
    facts = {"iterations": round(iterations), "few_iterations": FEW_ITERATIONS}
    if as_nnunet:
        reason = "nnU-Net's gradient descent with strong momentum, whatever the number of iterations."
        few = f"Preset standard takes AdamW below {FEW_ITERATIONS:,} iterations."
        return Decided(SGD(), "optimizer", facts, reason, few if iterations < FEW_ITERATIONS else "")
    if iterations < FEW_ITERATIONS:
        reason = f"About {iterations:,.0f} iterations are few: AdamW learns from the first, momentum needs hundreds."
        alternative = f"From {FEW_ITERATIONS:,} iterations on it would be gradient descent with strong momentum."
        return Decided(AdamW(learning_rate=SHORT_LEARNING_RATE), "optimizer", facts, reason, alternative)
    reason = f"In {iterations:,.0f} iterations, gradient descent with strong momentum settles better than AdamW."
    return Decided(SGD(), "optimizer", facts, reason, f"Below {FEW_ITERATIONS:,} iterations it would be AdamW.")
