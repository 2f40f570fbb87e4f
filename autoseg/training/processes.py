"""Several processes that train one model: who this one is, and what they have in common.

Comes in: numbers and tensors of this process. Goes out: those of all processes together. Each takes its share of every
batch, and losses are over the whole batch, so the model is the one that a single process would train, up to the order
in which numbers are added. Where there is one process, nothing is sent and nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed

LONGEST_WAIT = timedelta(
    days=7
)  # for the process that prepares cases while the others wait; torchrun ends all if one dies


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Inside, this process is one of those that torchrun started; it says so in the environment, which torch reads.

    Args:
        device: that this process computes on, none of the others'.
    """
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=LONGEST_WAIT)
    yield
    # Not after an error: it waits for all processes, and the others may be waiting for this one. It ends instead, and
    # torchrun ends the others.
    distributed.destroy_process_group()


def count() -> int:
    """How many processes train the model together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """The number of this one, 0 for the one that writes."""
    return distributed.get_rank() if count() > 1 else 0


def total(values: Tensor) -> Tensor:
    """The sum over the processes, which gradients flow back through.

    >>> total(torch.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """
    summed: Tensor = values if count() == 1 else _Total.apply(values)  # type: ignore[no-untyped-call]
    return summed


def mean(values: Tensor) -> Tensor:
    """The mean over all elements of all processes, which may have different numbers of them.

    >>> mean(torch.tensor([1.0, 2.0]))
    tensor(1.5000)
    """
    if count() == 1:
        return values.mean()
    return total(values.sum()) / total(values.new_tensor(float(values.numel())))


def largest(*numbers: float) -> tuple[float, ...]:
    """The largest of each number over the processes: so that all agree on when to stop, and whether to go back."""
    if count() == 1:
        return numbers
    values = torch.tensor(numbers, dtype=torch.float64, device=_device())
    distributed.all_reduce(values, distributed.ReduceOp.MAX)
    return tuple(values.tolist())


def wait() -> None:
    """Until all processes are here."""
    if count() > 1:
        largest(0.0)


class _Total(torch.autograd.Function):
    """A sum over processes. All compute the same loss from it, so its gradient is summed as well.

    Gradients of weights are averaged over the processes afterwards, which makes them those of the loss.
    """

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        summed = values.clone()
        distributed.all_reduce(summed)
        return summed

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        summed = gradient.clone()
        distributed.all_reduce(summed)
        return summed


def _device() -> torch.device:
    """Where the backend wants its tensors: gloo has them in the memory, nccl on the GPU."""
    return torch.device("cuda" if distributed.get_backend() == "nccl" else "cpu")
