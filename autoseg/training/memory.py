"""The memory of a training step, known before anything is allocated.

Comes in: a stage and the description of its dataset. Goes out: bytes at the peak. The code that
trains is run on fake tensors, which have a shape, a type and a storage but no memory, and what is
in use is added up. The planner asks this of the machine it plans for.
"""

from __future__ import annotations

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from autoseg.dataset import Description
from autoseg.networks.devices import computing_type
from autoseg.networks.fake import input_channels, network_without_weights, rules_of, with_fake_weights
from autoseg.networks.live_bytes import LiveBytes
from autoseg.plan import Stage
from autoseg.training.augmentation import Batch
from autoseg.training.losses import build_loss
from autoseg.training.optimizer_bytes import optimizer_bytes
from autoseg.training.optimizers import build_optimizer
from autoseg.training.step import Learner, find_loss

CPU = torch.device("cpu")
MEMORY_MARGIN = {"cpu": 0.25, "cuda": 0.05, "mps": 0.25}


def training_bytes(stage: Stage, dataset: Description, device: torch.device | str) -> int:
    """Most bytes in use at any time of a training step, by tracing one.

    Weights and their average, gradients, what the optimiser remembers, what is kept for the backward
    pass, the loss at all resolutions, the batch, and what libraries take while they convolve
    (`networks/convolution_bytes.py`). The step is one after the first, in which the optimiser remembers nothing yet.

    A fake CPU stands for every device, so that a plan for a GPU can be made without one, and is the
    same with one. What differs on a GPU is taken over: the type the network computes in, and what
    libraries take. Autocast treats what our networks are made of alike on both (convolutions in its type;
    norms, activations and sums in the type they are given), but for average pooling in 3-D, which is
    in float32 on a CPU; see `fake.GPURules`. Left out are the scale of float16 gradients, a few bytes,
    and the rounding of blocks, to 512 bytes on a GPU.

    Args:
        stage: what would be trained.
        dataset: its channels and labels.
        device: where; this machine need not have it.
    """
    device, network = torch.device(device), network_without_weights(stage, dataset)
    lasting = optimizer_bytes(stage.optimizer, network, device)
    if stage.average is not None:
        lasting += sum(tensor.nbytes for tensor in network.state_dict().values())
    tracker = LiveBytes(device.type)
    with FakeTensorMode(), tracker:
        learner = _fake_learner(stage, dataset, with_fake_weights(network), device)
        batch = _fake_batch(stage, dataset)
        remembered = torch.empty(lasting, dtype=torch.uint8)
        with rules_of(device):
            loss = find_loss(learner, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        del remembered
    return tracker.peak


def _fake_learner(stage: Stage, dataset: Description, network: nn.Module, device: torch.device) -> Learner:
    """A learner on a fake CPU that computes as one on the device would."""
    return Learner(
        stage=stage,
        device=CPU,
        network=network,
        optimizer=build_optimizer(stage.optimizer, network),
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        loss=build_loss(stage.loss, dataset.labels),
        dtype=computing_type(device, stage.training.precision),
    )


def _fake_batch(stage: Stage, dataset: Description) -> Batch:
    size, patch = stage.sampling.batch_size, stage.sampling.patch_size
    images = torch.empty((size, input_channels(stage, dataset), *patch))
    return Batch(images, torch.empty((size, *patch), dtype=torch.int16))
