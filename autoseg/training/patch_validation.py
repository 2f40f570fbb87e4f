"""A validation score each epoch, on patches: quick, and on the same patches every time.

Comes in: a learner and a source of validation patches. Goes out: the loss, and per target the Dice
over all patches taken together. Whole cases are scored once, at the end of the training.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from autoseg.dataset import Labels
from autoseg.networks.devices import autocast
from autoseg.progress import Step
from autoseg.training import processes
from autoseg.training.augmentation import make_batch
from autoseg.training.losses import make_target
from autoseg.training.patch_source import PatchSource
from autoseg.training.step import Learner


class PatchScores(NamedTuple):
    """What a validation found.

    Attributes:
        loss: mean over the batches.
        dice: per target; None where no patch holds the target and none was predicted.
    """

    loss: float
    dice: dict[str, float | None]

    @property
    def mean_dice(self) -> float | None:
        """Mean over the targets that have a Dice."""
        known = [value for value in self.dice.values() if value is not None]
        return sum(known) / len(known) if known else None


@torch.inference_mode()
def validate_on_patches(learner: Learner, source: PatchSource, labels: Labels, step: Step | None = None) -> PatchScores:
    """Scores the network on the validation patches; `step` is told of every batch."""
    learner.network.eval()
    counts = torch.zeros(2, len(labels.targets), device=learner.device)
    losses = []
    batches = learner.stage.training.validation_iterations
    for number in range(batches):
        samples = source.batch(number)
        patch = learner.stage.sampling.patch_size
        batch = make_batch(samples, patch, (), source.generators(number), learner.device)
        with autocast(learner.device, learner.stage.training.precision):
            logits = learner.network(batch.images)[0].float()
        losses.append(learner.loss(logits, batch.labels))
        target = make_target(batch.labels, labels)
        counts += overlap_and_size(logits, target.shares, target.annotated, overlapping=bool(labels.regions))
        if step:
            step(1 / batches, "")
    overlap, size = processes.total(counts).tolist()
    dice = {
        name: 2 * shared / total if total else None
        for name, shared, total in zip(labels.targets, overlap, size, strict=True)
    }
    return PatchScores(float(torch.stack(losses).mean()), dice)


def overlap_and_size(logits: Tensor, shares: Tensor, annotated: Tensor, overlapping: bool) -> Tensor:
    """Per target, voxels in both prediction and truth, and in each added up; (2, targets)."""
    if overlapping:
        predicted = (logits > 0).float()
    else:
        chosen = logits.argmax(1, keepdim=True)
        predicted = torch.zeros_like(logits).scatter_(1, chosen, 1.0)[:, 1:]
        shares = shares[:, 1:]
    predicted = predicted * annotated
    axes = (0, *range(2, logits.dim()))
    return torch.stack(((predicted * shares).sum(axes), predicted.sum(axes) + shares.sum(axes)))
