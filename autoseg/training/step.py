"""One step of training: a batch in, the weights changed, the loss out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autoseg.dataset import Labels
from autoseg.errors import TrainingError
from autoseg.networks import build_network
from autoseg.networks.devices import autocast_to, computing_type, training_format
from autoseg.networks.unet import UNet
from autoseg.plan import Stage
from autoseg.training import processes
from autoseg.training.augmentation import Batch
from autoseg.training.losses import Loss, build_loss, deep_loss
from autoseg.training.optimizers import build_optimizer


@dataclass
class Learner:
    """What a training changes: the weights, and the optimiser's memory of them.

    Attributes:
        stage: of the plan.
        device: where the network is.
        network: maps images (batch, channels, *patch) to logits at falling resolution.
        optimizer: changes its weights.
        scaler: keeps float16 gradients in range; does nothing in other precisions.
        loss: of logits at one resolution.
        dtype: what the network computes in; its weights are float32.
        wrapped: the network as it is called in training, where that is not itself: compiled, or shared by processes.
    """

    stage: Stage
    device: torch.device
    network: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    loss: Loss
    dtype: torch.dtype
    wrapped: nn.Module | None = None


def make_learner(stage: Stage, channels: int, labels: Labels, device: torch.device) -> Learner:
    """A learner with fresh weights.

    Args:
        stage: of the plan.
        channels: of the images.
        labels: decide the outputs and the loss.
        device: where to train.
    """
    network = build_network(stage.network, channels, labels.outputs, stage.training.seed)
    form = training_format(device, stage.dimensions, stage.network.features[0])
    network.to(device, memory_format=form)  # type: ignore[call-overload]
    dtype = computing_type(device, stage.training.precision)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    optimizer = build_optimizer(stage.optimizer, network)
    return Learner(stage, device, network, optimizer, scaler, build_loss(stage.loss, labels), dtype)


def compile_if_asked(learner: Learner) -> None:
    """Where the plan says so, the network is compiled for its patches; that happens in the first step."""
    if learner.stage.training.compile:
        learner.wrapped = torch.compile(learner.network, dynamic=False)  # type: ignore[assignment]


def share_among_processes(learner: Learner) -> None:
    """Where several processes train together, averages the gradients over them.

    Raises:
        TrainingError: there are more of them than patches in a batch.
    """
    if processes.count() == 1:
        return
    size = learner.stage.sampling.batch_size
    if size < processes.count():
        raise TrainingError(
            f"{processes.count()} processes cannot share a batch of {size}: each needs a patch at least. Start fewer, "
            f"or set a larger batch (--set stages.NAME.sampling.batch_size={processes.count()})."
        )
    if isinstance(learner.network, UNet):  # torch waits for the gradient of every weight that might have one
        learner.network.idle_heads.requires_grad_(False)
    devices = [learner.device] if learner.device.type == "cuda" else None
    learner.wrapped = nn.parallel.DistributedDataParallel(learner.wrapped or learner.network, device_ids=devices)


def take_step(learner: Learner, batch: Batch, learning_rate: float) -> float:
    """Changes the weights once, unless the loss or its gradient is not finite: then they stay as they are.

    Returns:
        The loss before the step; NaN or infinity where there was none.

    Raises:
        torch.OutOfMemoryError: the device's memory ran out.
    """
    loss = find_loss(learner, batch)
    value = float(loss.detach())
    if not math.isfinite(value):
        return value
    return value if lower_loss(learner, loss, learning_rate) else math.nan


def find_loss(learner: Learner, batch: Batch) -> Tensor:
    """The forward half of a step: the loss of a batch, ready to be differentiated; the last gradients are dropped."""
    learner.network.train()
    learner.optimizer.zero_grad(set_to_none=True)
    with autocast_to(learner.device, learner.dtype):
        outputs: tuple[Tensor, ...] = (learner.wrapped or learner.network)(batch.images)
    return deep_loss(learner.loss, outputs, batch.labels)


def lower_loss(learner: Learner, loss: Tensor, learning_rate: float) -> bool:
    """The backward half of a step: gradients of the loss, clipped, and the weights changed by them.

    Returns:
        Whether the gradient was finite; otherwise nothing has changed. A scaler of float16 gradients, which overflow
        while it looks for its scale, sees to that itself.
    """
    for group in learner.optimizer.param_groups:
        group["lr"] = learning_rate
    learner.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    learner.scaler.unscale_(learner.optimizer)
    norm = nn.utils.clip_grad_norm_(learner.network.parameters(), learner.stage.training.gradient_clip)
    if not learner.scaler.is_enabled() and not torch.isfinite(norm):
        return False
    learner.scaler.step(learner.optimizer)
    learner.scaler.update()
    return True
