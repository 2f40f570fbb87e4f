"""A validation score each epoch on whole cases: slower than on patches, and what the model is for.

Comes in: a learner and prepared cases. Goes out: the loss, and per target the Dice, each the mean over the cases.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from autoseg.dataset.description import Description
from autoseg.inference.cascade import read_prepared
from autoseg.inference.sliding_window import predict_rows
from autoseg.preprocessing import PreparedCase
from autoseg.progress import Step
from autoseg.training import processes
from autoseg.training.losses import make_target
from autoseg.training.patch_validation import PatchScores, overlap_and_size
from autoseg.training.step import Learner


def validate_on_cases(
    learner: Learner, cases: Sequence[PreparedCase], dataset: Description, step: Step | None = None
) -> PatchScores:
    """Scores the network on whole cases, as they are prepared; windows as in the plan's inference, none turned.

    Of processes that train together, each scores all of the cases: a loss is over what all of them give it.

    Args:
        learner: its network.
        cases: the first of the validation cases, as many as the plan says.
        dataset: its channels and labels.
        step: told of every finished share of a case; of several processes, which may come by a case in different
            ways, of every case.

    Returns:
        The loss, the mean over the cases; per target the mean Dice over the cases in which it is or was predicted.
    """
    learner.network.eval()
    alone, found = processes.count() == 1, []
    for case in cases:
        found.append(_score(learner, case, dataset, step if alone else None))
        if step is not None and not alone:
            step(1.0, case.name)
    dice = {}
    for place, name in enumerate(dataset.labels.targets):
        known = [one[place] for _, one in found if one[place] is not None]
        dice[name] = sum(value for value in known if value is not None) / len(known) if known else None
    return PatchScores(sum(loss for loss, _ in found) / len(found), dice)


@torch.inference_mode()
def _score(
    learner: Learner, case: PreparedCase, dataset: Description, step: Step | None
) -> tuple[float, list[float | None]]:
    """Loss and, target by target, Dice of a case."""
    stage, labels, device = learner.stage, dataset.labels, learner.device
    seen = torch.from_numpy(read_prepared(case, stage, dataset))
    rows = predict_rows([learner.network], seen, stage, labels, device, mirror=False, step=step)
    logits = torch.cat(list(map(torch.clone, rows)), dim=1)  # rows are good, and held, until the next
    classes = torch.from_numpy(case.labels()[:][0]).to(logits.device)
    logits, classes = _as_batch(logits, classes, stage.dimensions)
    loss = float(learner.loss(logits, classes))
    target = make_target(classes, labels)
    counts = overlap_and_size(logits, target.shares, target.annotated, overlapping=bool(labels.regions))
    overlap, size = counts.tolist()
    return loss, [2 * shared / total if total else None for shared, total in zip(overlap, size, strict=True)]


def _as_batch(logits: Tensor, classes: Tensor, dimensions: int) -> tuple[Tensor, Tensor]:
    """A volume as a batch of one, or as one of slices: (batch, outputs, *axes) and (batch, *axes)."""
    return (logits.transpose(0, 1), classes) if dimensions == 2 else (logits[None], classes[None])
