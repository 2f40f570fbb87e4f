"""The optimiser a plan describes."""

from __future__ import annotations

import torch
from torch import nn

from autoseg.plan.training import SGD, Adam, AdamW, Optimizer


def build_optimizer(optimizer: Optimizer, network: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of the plan, over all weights of a network.

    It is fused: one pass over each weight, and no memory beyond what is remembered. Tensor by
    tensor it takes several times as long on a CPU (benchmarks/choices.py). The same steps give the same bits.

    Args:
        optimizer: from the plan.
        network: whose weights it changes, where they are.
    """
    rate, decay, weights = optimizer.learning_rate, optimizer.weight_decay, network.parameters()
    match optimizer:
        case SGD(momentum=momentum):
            return torch.optim.SGD(weights, rate, momentum, weight_decay=decay, nesterov=momentum > 0, fused=True)
        case Adam():
            return torch.optim.Adam(weights, rate, weight_decay=decay, fused=True)
        case AdamW():
            return torch.optim.AdamW(weights, rate, weight_decay=decay, fused=True)
