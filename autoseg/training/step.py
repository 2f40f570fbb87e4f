"""One step of training: a batch in, the weights changed, the loss out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autoseg.dataset import Labels
from autoseg.errors import TrainingError
from autoseg.networks import build_network
from autoseg.networks.devices import autocast_to, computing_type
from autoseg.plan import Stage
from autoseg.plan.training import SGD, AdamW, Optimizer
from autoseg.training.augmentation import Batch
from autoseg.training.losses import Loss, build_loss, deep_loss


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
    """

    stage: Stage
    device: torch.device
    network: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    loss: Loss
    dtype: torch.dtype


def make_learner(stage: Stage, channels: int, labels: Labels, device: torch.device) -> Learner:
    """A learner with fresh weights.

    Args:
        stage: of the plan.
        channels: of the images.
        labels: decide the outputs and the loss.
        device: where to train.
    """
    network = build_network(stage.network, channels, labels.outputs, stage.training.seed).to(device)
    dtype = computing_type(device, stage.training.precision)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    optimizer = build_optimizer(stage.optimizer, network, device)
    return Learner(stage, device, network, optimizer, scaler, build_loss(stage.loss, labels), dtype)


def take_step(learner: Learner, batch: Batch, learning_rate: float) -> float:
    """Changes the weights once.

    Returns:
        The loss before the step.

    Raises:
        TrainingError: the loss is NaN or infinite, or the device's memory ran out.
    """
    try:
        return _stepped(learner, batch, learning_rate)
    except torch.OutOfMemoryError as problem:
        patch, size = " × ".join(map(str, batch.images.shape[2:])), len(batch.images)
        raise TrainingError(
            f"the memory of {learner.device} ran out on a batch of {size} patches of {patch} voxels "
            f"({str(problem).splitlines()[0]}). Derive a plan for less memory (autoseg plan … --memory GB --name NAME) "
            "or set a smaller batch (--set stages.*.sampling.batch_size=2). The last checkpoint is kept."
        ) from None


def find_loss(learner: Learner, batch: Batch) -> Tensor:
    """The forward half of a step: the loss of a batch, ready to be differentiated; the last gradients are dropped."""
    learner.network.train()
    learner.optimizer.zero_grad(set_to_none=True)
    with autocast_to(learner.device, learner.dtype):
        outputs: tuple[Tensor, ...] = learner.network(batch.images)
    return deep_loss(learner.loss, outputs, batch.labels)


def lower_loss(learner: Learner, loss: Tensor, learning_rate: float) -> None:
    """The backward half of a step: gradients of the loss, clipped, and the weights changed by them."""
    for group in learner.optimizer.param_groups:
        group["lr"] = learning_rate
    learner.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    learner.scaler.unscale_(learner.optimizer)
    nn.utils.clip_grad_norm_(learner.network.parameters(), learner.stage.training.gradient_clip)
    learner.scaler.step(learner.optimizer)
    learner.scaler.update()


def build_optimizer(optimizer: Optimizer, network: nn.Module, device: torch.device) -> torch.optim.Optimizer:
    """The optimiser of the plan, over all weights of a network.

    Args:
        optimizer: from the plan.
        network: whose weights it changes.
        device: where it will train. On a GPU all weights are changed at once, which is faster and takes memory
            for a second copy of the gradients; torch does so by itself, but not where a step is only traced.
    """
    rate, decay, at_once = optimizer.learning_rate, optimizer.weight_decay, device.type == "cuda"
    weights = network.parameters()
    match optimizer:
        case SGD(momentum=momentum):
            return torch.optim.SGD(weights, rate, momentum, weight_decay=decay, nesterov=momentum > 0, foreach=at_once)
        case AdamW():
            return torch.optim.AdamW(weights, rate, weight_decay=decay, foreach=at_once)


def _stepped(learner: Learner, batch: Batch, learning_rate: float) -> float:
    loss = find_loss(learner, batch)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingError(
            f"the loss became {value}. Look for NaN or extreme values with 'autoseg check', lower the learning rate "
            "(--set stages.*.optimizer.learning_rate=0.001), or train in float32 "
            "(--set stages.*.training.precision=float32). The last checkpoint is kept."
        )
    lower_loss(learner, loss, learning_rate)
    return value
