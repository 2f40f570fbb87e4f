"""A moving average of the weights, beside those that are trained.

Comes in: a network, after each step. Goes out: averaged weights, which are often the better ones, as if the learning
rate had fallen. They are tensors by the names of the network's state, so a checkpoint holds them as it holds that.

Source: Polyak and Juditsky 1992, doi:10.1137/0330046; with exponential weights, Tarvainen and Valpola 2017,
doi:10.48550/arXiv.1703.01780.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from autoseg.plan.training import Average

Weights = dict[str, Tensor]


def start_average(network: nn.Module) -> Weights:
    """The average before the first step: the weights themselves, and what else a network keeps (running statistics)."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


@torch.no_grad()
def update_average(weights: Weights, network: nn.Module, average: Average, steps: int) -> None:
    """Moves the average towards the weights after a step.

    Args:
        weights: the average; changed in place.
        network: after the step.
        average: from the plan.
        steps: taken so far, this one included.

    >>> network = nn.Linear(1, 1)
    >>> weights = start_average(network)
    >>> _ = nn.init.constant_(network.bias, 1.0), weights["bias"].fill_(0.0)
    >>> update_average(weights, network, Average(decay=0.75), steps=1000)
    >>> weights["bias"]
    tensor([0.2500])
    """
    decay = min(average.decay, (1 + steps) / (10 + steps))
    now = network.state_dict()
    moved = [name for name, tensor in weights.items() if tensor.is_floating_point()]
    torch._foreach_lerp_([weights[name] for name in moved], [now[name] for name in moved], 1 - decay)
    for name in weights.keys() - set(moved):  # counters
        weights[name].copy_(now[name])


@contextmanager
def averaged(network: nn.Module, weights: Weights) -> Iterator[None]:
    """Inside, the network has the averaged weights; the optimiser finds its own again afterwards.

    Args:
        network: whose tensors are overwritten, and restored.
        weights: its average.
    """
    own = start_average(network)
    network.load_state_dict(weights)
    try:
        yield
    finally:
        network.load_state_dict(own)
