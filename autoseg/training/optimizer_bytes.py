"""The memory of an optimiser: what it remembers from step to step, and what it takes on top while it steps.

Comes in: an optimiser of a plan, and a network. Goes out: bytes. Both depend on how many weights there are, and on
the largest of them, but not on how they are spread over layers. So the step is traced with as many weights in a few
tensors, as one over hundreds would take as long as the network itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from autoseg.networks.live_bytes import LiveBytes
from autoseg.plan.training import Optimizer
from autoseg.training.step import build_optimizer


class OptimizerBytes(NamedTuple):
    """What an optimiser needs besides weights and gradients.

    Attributes:
        remembered: from step to step.
        working: on top of all that, at the peak of its step.
    """

    remembered: int
    working: int


def optimizer_bytes(optimizer: Optimizer, network: nn.Module, device: torch.device) -> OptimizerBytes:
    """Traces two steps of an optimiser; in the first it remembers nothing yet.

    Args:
        optimizer: of the plan.
        network: whose weights it changes; shapes are enough.
        device: where it will train.
    """
    tracker = LiveBytes(device.type)
    with FakeTensorMode(), tracker:
        weights = nn.ParameterList(nn.Parameter(torch.empty(size)) for size in _few_tensors(network))
        built = build_optimizer(optimizer, weights, device)
        before = tracker.live
        _give_gradients(weights)
        built.step()
        built.zero_grad()
        remembered = tracker.live - before
        _give_gradients(weights)
        tracker.peak = before = tracker.live
        built.step()
        return OptimizerBytes(remembered, tracker.peak - before)


def _give_gradients(weights: nn.ParameterList) -> None:
    for one in weights:
        one.grad = torch.empty_like(one)


def _few_tensors(network: nn.Module) -> Iterator[int]:
    """Sizes that add up to all weights of a network, none larger than its largest; small ones between, like biases."""
    sizes = [weights.numel() for weights in network.parameters()]
    left, largest = sum(sizes), max(sizes)
    while left > largest:
        yield from (largest, 1)
        left -= largest + 1
    if left:
        yield left
