"""One step of training: a batch in, the weights changed, the loss out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autoseg.dataset import Labels
from autoseg.errors import TrainingError
from autoseg.networks import build_network
from autoseg.networks.devices import autocast
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
    """

    stage: Stage
    device: torch.device
    network: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    loss: Loss


def make_learner(stage: Stage, channels: int, labels: Labels, device: torch.device) -> Learner:
    """A learner with fresh weights.

    Args:
        stage: of the plan.
        channels: of the images.
        labels: decide the outputs and the loss.
        device: where to train.
    """
    network = build_network(stage.network, channels, labels.outputs, stage.training.seed).to(device)
    optimizer = _build_optimizer(stage.optimizer, network)
    scaled = stage.training.precision == "float16" and device.type == "cuda"
    scaler = torch.amp.GradScaler(device.type, enabled=scaled)
    return Learner(stage, device, network, optimizer, scaler, build_loss(stage.loss, labels))


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


def _stepped(learner: Learner, batch: Batch, learning_rate: float) -> float:
    for group in learner.optimizer.param_groups:
        group["lr"] = learning_rate
    learner.network.train()
    learner.optimizer.zero_grad(set_to_none=True)
    with autocast(learner.device, learner.stage.training.precision):
        outputs: tuple[Tensor, ...] = learner.network(batch.images)
    loss = deep_loss(learner.loss, outputs, batch.labels)
    value = float(loss.detach())
    if not torch.isfinite(loss.detach()):
        raise TrainingError(
            f"the loss became {value}. Look for NaN or extreme values with 'autoseg check', lower the learning rate "
            "(--set stages.*.optimizer.learning_rate=0.001), or train in float32 "
            "(--set stages.*.training.precision=float32). The last checkpoint is kept."
        )
    learner.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    learner.scaler.unscale_(learner.optimizer)
    nn.utils.clip_grad_norm_(learner.network.parameters(), learner.stage.training.gradient_clip)
    learner.scaler.step(learner.optimizer)
    learner.scaler.update()
    return value


def _build_optimizer(optimizer: Optimizer, network: nn.Module) -> torch.optim.Optimizer:
    rate, decay = optimizer.learning_rate, optimizer.weight_decay
    match optimizer:
        case SGD(momentum=momentum):
            return torch.optim.SGD(network.parameters(), rate, momentum, weight_decay=decay, nesterov=momentum > 0)
        case AdamW():
            return torch.optim.AdamW(network.parameters(), rate, weight_decay=decay)
