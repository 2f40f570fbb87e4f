"""Networks whose tensors have a shape and a type but no memory, to find out what they would need.

Comes in: the plan of a network, or a network, and the device it is meant for. Goes out: the same with weights
that hold nothing, computing on a fake CPU as it would on that device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from autoseg.dataset import Description
from autoseg.networks.build import build_network
from autoseg.plan import Stage


def network_without_weights(stage: Stage, dataset: Description) -> nn.Module:
    """A network whose weights have shapes only; built while nothing watches, for drawing weights is many operations."""
    with torch.device("meta"):
        return build_network(stage.network, input_channels(stage, dataset), dataset.labels.outputs)


def with_fake_weights(network: nn.Module) -> nn.Module:
    """The network, with weights that are fake tensors and are counted; called where those are made."""
    for module in network.modules():
        for name, weights in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(torch.empty(weights.shape)))
        for name, statistics in list(module.named_buffers(recurse=False)):
            setattr(module, name, torch.empty(statistics.shape, dtype=statistics.dtype))
    return network


def input_channels(stage: Stage, dataset: Description) -> int:
    """Channels a network sees: the image's, then those of the previous stage."""
    return len(dataset.channels) + previous_channels(stage, dataset)


def previous_channels(stage: Stage, dataset: Description) -> int:
    """One a label that the previous stage predicts, where the stage looks at those."""
    return len(dataset.labels.classes) - 1 if stage.previous is not None and stage.previous.as_channels else 0


class Casting(nn.Module):
    """A network that computes in a type, whatever the device would, and whose operations can be watched."""

    def __init__(self, network: nn.Module, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__()
        self.network, self.dtype, self.device = network, dtype, device

    def forward(self, images: Tensor) -> Any:
        """What the network makes of images.

        In inference mode, operations would not be taken apart on the way to `LiveBytes`, and weights that were cast
        would not be kept.
        """
        runs = self.dtype != torch.float32
        cast = torch.autocast("cpu", self.dtype if runs else torch.bfloat16, enabled=runs, cache_enabled=False)
        with torch.inference_mode(mode=False), torch.no_grad(), cast, rules_of(self.device):
            return self.network(images)


class GPURules(TorchFunctionMode):
    """Operations as on a GPU, where tensors are on a CPU.

    Autocast lets pooling in 3-D keep the type it is given; `InstanceNorm` has another kernel.
    """

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, arguments: Sequence[Any] = (), options: Any = None
    ) -> Any:
        options = options or {}
        if function in (functional.avg_pool3d, functional.max_pool3d):
            with torch.autocast("cpu", enabled=False):
                return function(*arguments, **options)
        if function is functional.group_norm:
            return functional.instance_norm(arguments[0], **options)
        return function(*arguments, **options)


def rules_of(device: torch.device) -> AbstractContextManager[object]:
    """Inside, autocast on a CPU follows the rules of the device."""
    return GPURules() if device.type == "cuda" else nullcontext()
