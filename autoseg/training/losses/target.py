"""What logits are compared with.

Comes in: class indices. Goes out: what each output of the network should be, and where that is known.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from autoseg.dataset.labels import IGNORE_CLASS, Labels


class Target(NamedTuple):
    """What logits are compared with.

    Attributes:
        classes: class indices (batch, *axes), int64.
        shares: what each output channel should be, (batch, outputs, *axes), 0 or 1; 0 where that is not known.
        annotated: (batch, 1, *axes), 1 where the voxel counts.
    """

    classes: Tensor
    shares: Tensor
    annotated: Tensor


def make_target(classes: Tensor, labels: Labels) -> Target:
    """Class indices → what each output channel should be.

    Args:
        classes: (batch, *axes), `IGNORE_CLASS` where nobody annotated.
        labels: of the dataset; the outputs are its regions, or else its classes.
    """
    classes = classes.long()
    annotated = (classes != IGNORE_CLASS)[:, None]
    known = classes.clamp(min=0)
    if labels.regions:
        regions = labels.target_classes.values()
        members = [torch.isin(known, torch.tensor(inside, device=classes.device)) for inside in regions]
        shares = torch.stack(members, dim=1).float()
    else:
        shares = torch.zeros((len(classes), labels.outputs, *classes.shape[1:]), device=classes.device)
        shares.scatter_(1, known[:, None], 1.0)
    return Target(classes, shares * annotated, annotated.float())
