"""Terms that look at where a label's surface is: surface Dice and boundary loss.

Comes in: probabilities and truth of some labels. Goes out: one number. Distances are in voxels of the resolution at
which the loss is taken.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from autoseg.plan.loss import SoftDice, SurfaceDice
from autoseg.training.losses.distance import signed_distance
from autoseg.training.losses.overlap import Compared, soft_dice
from autoseg.training.processes import total


def surface_dice(compared: Compared, term: SurfaceDice) -> Tensor:
    """1 - the soft Dice of bands around the surfaces of prediction and truth.

    The band of a map is its largest minus its smallest value among all voxels within the tolerance: of a binary map, 1
    within the tolerance on both sides of the surface and 0 elsewhere, whatever the size of what is inside.

    Source: the bands by pooling, Bokhovkin and Burnaev 2019, doi:10.1007/978-3-030-22808-8_38; what they stand for,
    the surface Dice at a tolerance, Nikolov et al. 2021, doi:10.2196/26151.
    """
    bands = [
        _band(maps * compared.annotated, term.tolerance_voxels) * compared.annotated
        for maps in (compared.probabilities, compared.shares)
    ]
    dice = SoftDice(over_batch=term.over_batch, smooth=term.smooth)
    return soft_dice(compared._replace(probabilities=bands[0], shares=bands[1]), dice)


def boundary(compared: Compared) -> Tensor:
    """Mean over annotated voxels and labels of w·φ·p, φ the signed distance from the true surface, w the weight.

    φ is found here, on the device, with the batch: see `signed_distance`. A label that is not in a patch, or fills it,
    has no surface there and adds nothing.

    Source: Kervadec et al. 2021, doi:10.1016/j.media.2020.101851.
    """
    with torch.no_grad():
        inside = compared.shares > 0
        distances = signed_distance(inside, (compared.annotated > 0) & ~inside).to(compared.shares.dtype)
        distances *= compared.annotated
        if compared.weights is not None:
            weights = distances.new_tensor(compared.weights)
            distances *= weights.view(1, -1, *[1] * (distances.dim() - 2))
    count = (total(compared.annotated.sum()) * distances.shape[1]).clamp(min=1)
    return total((distances * compared.probabilities).sum()) / count


def _band(maps: Tensor, tolerance: int) -> Tensor:
    pool = functional.max_pool3d if maps.dim() == 5 else functional.max_pool2d
    size = 2 * tolerance + 1
    return pool(maps, size, 1, tolerance) + pool(-maps, size, 1, tolerance)
