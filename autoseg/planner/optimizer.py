"""How the weights are fitted: by what suits the number of iterations there is time for."""

from __future__ import annotations

from autoseg.plan.training import SGD, AdamW, Optimizer
from autoseg.planner.decided import Decided
from autoseg.planner.length import FEW_ITERATIONS, is_short

SHORT_LEARNING_RATE, SHORT_WEIGHT_DECAY = 4e-3, 0.02  # of AdamW


def optimizer(iterations: float, as_nnunet: bool = False) -> Decided[Optimizer]:
    """Gradient descent with strong momentum for long trainings, AdamW for short ones.

    Momentum 0.99 averages over the last hundred steps and needs several hundred to leave the background.

    Measured, on one dataset (benchmarks/results/hippocampus_cpu.md; 3-D, 16 features, batches of 4, 300
    iterations): after 150 iterations gradient descent still predicts nothing, where AdamW has reached a Dice of
    0.75 over patches. AdamW's learning rate of 0.004 is ahead of half of it after 100 iterations (0.74 against
    0.67) and level with it after 300 (0.84). Weights that decay by 0.02 of the learning rate keep the network from
    learning cases by heart: after 5 and 10 minutes the Dice over whole validation cases is 0.8840 and 0.8856, with
    nnU-Net's 0.00003 it is 0.8828 and 0.8851; after 20 minutes 0.8857 and 0.8848 in two runs, against 0.8848. Not
    measured: other datasets, 2-D, other decays, and from how many iterations on gradient descent is the better
    choice; 10,000 is a guess between 300 and nnU-Net's 250,000.

    Args:
        iterations: expected in the whole training.
        as_nnunet: gradient descent, however few they are.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, for long trainings.
    """
    facts = {"iterations": round(iterations), "few_iterations": FEW_ITERATIONS}
    if as_nnunet:
        reason = "nnU-Net's gradient descent with strong momentum, whatever the number of iterations."
        few = f"Preset standard takes AdamW below {FEW_ITERATIONS:,} iterations."
        return Decided(SGD(), "optimizer", facts, reason, few if is_short(iterations) else "")
    if is_short(iterations):
        reason = (
            f"About {iterations:,.0f} iterations are few. AdamW learns from the first; gradient descent with strong "
            "momentum needs hundreds before it predicts anything, as measured on hippocampus."
        )
        alternative = f"From {FEW_ITERATIONS:,} iterations on it would be gradient descent with strong momentum."
        short = AdamW(learning_rate=SHORT_LEARNING_RATE, weight_decay=SHORT_WEIGHT_DECAY)
        return Decided(short, "optimizer", facts, reason, alternative)
    reason = f"In {iterations:,.0f} iterations there is time for gradient descent with strong momentum, as in nnU-Net."
    return Decided(SGD(), "optimizer", facts, reason, f"Below {FEW_ITERATIONS:,} iterations it would be AdamW.")
