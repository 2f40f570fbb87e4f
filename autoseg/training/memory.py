"""The memory of a training step and of a prediction, known before anything is allocated.

Comes in: a stage and the description of its dataset. Goes out: bytes at the peak. The code that
trains is run on fake tensors, which have a shape, a type and a storage but no memory, and what is
in use is added up. The planner asks this of the machine it plans for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from autoseg.dataset import Description
from autoseg.inference.sliding_window import WINDOWS_AT_ONCE, predict_logits, windows
from autoseg.networks import build_network
from autoseg.networks.devices import computing_type
from autoseg.plan import Stage
from autoseg.training.augmentation import Batch
from autoseg.training.live_bytes import LiveBytes
from autoseg.training.losses import build_loss
from autoseg.training.optimizer_bytes import optimizer_bytes
from autoseg.training.step import Learner, build_optimizer, find_loss

FLOAT = 4  # bytes of a float32
CPU = torch.device("cpu")
MEMORY_MARGIN = {"cpu": 0.25, "cuda": 0.05, "mps": 0.25}


def training_bytes(stage: Stage, dataset: Description, device: torch.device | str) -> int:
    """Most bytes in use at any time of a training step, by tracing one.

    Weights, gradients, what the optimiser remembers, what is kept for the backward pass, the loss
    at all resolutions, the batch, and what libraries take while they convolve (`workspace.py`). The
    step is one after the first, in which the optimiser remembers nothing yet.

    A fake CPU stands for every device, so that a plan for a GPU can be made without one, and is the
    same with one. What differs on a GPU is taken over: the type the network computes in, the
    optimiser, which changes all weights at once, and the workspace. Autocast treats what our
    networks are made of alike on both (convolutions in its type; norms, activations and sums in the
    type they are given), but for average pooling in 3-D, which is in float32 on a CPU; see
    `GPURules`. Left out are the scale of float16 gradients, a few bytes, and the rounding of blocks,
    to 512 bytes on a GPU.

    Args:
        stage: what would be trained.
        dataset: its channels and labels.
        device: where; this machine need not have it.
    """
    device, network = torch.device(device), _network_without_weights(stage, dataset)
    optimizer, tracker = optimizer_bytes(stage.optimizer, network, device), LiveBytes(device.type)
    with FakeTensorMode(), tracker:
        learner = _fake_learner(stage, dataset, _with_fake_weights(network), device)
        batch = _fake_batch(stage, dataset)
        remembered = torch.empty(optimizer.remembered, dtype=torch.uint8)
        with _rules(device):
            loss = find_loss(learner, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        peak = max(tracker.peak, tracker.live + optimizer.working)
        del remembered
    return peak


def inference_bytes(stage: Stage, dataset: Description, image_shape: Sequence[int], device: torch.device | str) -> int:
    """Most bytes in use on the device while one network predicts an image.

    Args:
        stage: what predicts; a window's pass through its network is traced.
        dataset: its channels and labels.
        image_shape: voxels of the prepared image, (z, y, x). The image's own grid, to which the
            logits are brought back, is taken to have as many.
        device: where; this machine need not have it.
    """
    device = torch.device(device)
    channels, outputs = input_channels(stage, dataset), dataset.labels.outputs
    window = (1,) * (3 - stage.dimensions) + stage.sampling.patch_size
    padded = [max(size, least) for size, least in zip(image_shape, window, strict=True)]
    voxels = math.prod(padded)
    at_once = min(len(windows(padded, window, stage)), WINDOWS_AT_ONCE[stage.dimensions])
    few = (at_once * window[0], *window[1:])  # an image whose windows are all seen at once
    weights, peak = _traced_prediction(stage, dataset, few, device)
    forward = peak - weights - FLOAT * (2 * channels + outputs + 1) * math.prod(few)
    image = channels if device.type == "cpu" else 0  # the image itself, beside the copy that is padded
    held = image + channels + outputs + 1  # floats a voxel: those, the sums, their weights
    return weights + max(
        FLOAT * held * voxels + forward,
        FLOAT * (held + outputs) * voxels,  # the sums divided
        (FLOAT * (image + 2 * outputs) + 2 * outputs) * voxels,  # logits, their absolutes, and which are finite
        (FLOAT * (image + outputs + 4) + 1) * voxels,  # logits, two of them again, the winner so far, and who wins
    )


def input_channels(stage: Stage, dataset: Description) -> int:
    """Channels a network sees: the image's, and one a label of the previous stage where it looks at those."""
    labels = len(dataset.labels.classes) - 1 if stage.previous is not None and stage.previous.as_channels else 0
    return len(dataset.channels) + labels


def _fake_learner(stage: Stage, dataset: Description, network: nn.Module, device: torch.device) -> Learner:
    """A learner on a fake CPU that computes as one on the device would."""
    return Learner(
        stage=stage,
        device=CPU,
        network=network,
        optimizer=build_optimizer(stage.optimizer, network, device),
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        loss=build_loss(stage.loss, dataset.labels),
        dtype=computing_type(device, stage.training.precision),
    )


def _network_without_weights(stage: Stage, dataset: Description) -> nn.Module:
    """A network whose weights have shapes only; built while nothing watches, for drawing weights is many operations."""
    with torch.device("meta"):
        return build_network(stage.network, input_channels(stage, dataset), dataset.labels.outputs)


def _with_fake_weights(network: nn.Module) -> nn.Module:
    """The network, with weights that are fake tensors and are counted."""
    for module in network.modules():
        for name, weights in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(torch.empty(weights.shape)))
    return network


def _fake_batch(stage: Stage, dataset: Description) -> Batch:
    size, patch = stage.sampling.batch_size, stage.sampling.patch_size
    images = torch.empty((size, input_channels(stage, dataset), *patch))
    return Batch(images, torch.empty((size, *patch), dtype=torch.int16))


def _traced_prediction(
    stage: Stage, dataset: Description, shape: Sequence[int], device: torch.device
) -> tuple[int, int]:
    """Of a network: bytes of its weights, and the peak of predicting an image with it."""
    dtype = computing_type(device, stage.training.precision)
    # One mirrored view beside the first is enough: further ones take the memory of those before.
    inference = stage.inference.model_copy(update={"mirror_axes": stage.inference.mirror_axes[:1]})
    stage = stage.model_copy(update={"inference": inference})
    bare, tracker = _network_without_weights(stage, dataset).eval(), LiveBytes(device.type)
    with FakeTensorMode(allow_non_fake_inputs=True), tracker:
        network = _Casting(_with_fake_weights(bare), dtype, device)
        weights = tracker.live
        image = torch.empty((input_channels(stage, dataset), *shape))
        predict_logits([network], image, stage, dataset.labels.outputs, CPU)
    return weights, tracker.peak


class _Casting(nn.Module):
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
        with torch.inference_mode(mode=False), torch.no_grad(), cast, _rules(self.device):
            return self.network(images)


class GPURules(TorchFunctionMode):
    """Autocast as on a GPU, where tensors are on a CPU: average pooling in 3-D keeps the type it is given."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, arguments: Sequence[Any] = (), options: Any = None
    ) -> Any:
        if function is functional.avg_pool3d:
            with torch.autocast("cpu", enabled=False):
                return function(*arguments, **(options or {}))
        return function(*arguments, **(options or {}))


def _rules(device: torch.device) -> AbstractContextManager[object]:
    return GPURules() if device.type == "cuda" else nullcontext()
