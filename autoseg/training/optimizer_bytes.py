"""The memory of an optimiser: what it remembers from step to step.

Comes in: an optimiser of a plan, and a network. Goes out: bytes. They depend on how many weights there are, and hardly
on how they are spread over layers. So the step is traced with as many weights in a few tensors, as one over hundreds
would take as long as the network itself. While it steps a fused optimiser takes nothing on top.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from autoseg.networks.live_bytes import LiveBytes
from autoseg.plan.training import Optimizer
from autoseg.training.optimizers import build_optimizer


def optimizer_bytes(optimizer: Optimizer, network: nn.Module, device: torch.device) -> int:
    """Traces a step of an optimiser, after which it remembers what it always will.

    Args:
        optimizer: of the plan.
        network: whose weights it changes; shapes are enough.
        device: where it will train.
    """
    tracker = LiveBytes(device.type)
    with FakeTensorMode(), tracker:
        weights = nn.ParameterList(nn.Parameter(torch.empty(size)) for size in _few_tensors(network))
        built = build_optimizer(optimizer, weights)
        before = tracker.live
        for one in weights:
            one.grad = torch.empty_like(one)
        built.step()
        built.zero_grad()
        return tracker.live - before


def _few_tensors(network: nn.Module) -> Iterator[int]:
    """Sizes that add up to all weights of a network, none larger than its largest; small ones between, like biases."""
    sizes = [weights.numel() for weights in network.parameters()]
    left, largest = sum(sizes), max(sizes)
    while left > largest:
        yield from (largest, 1)
        left -= largest + 1
    if left:
        yield left
