"""Distances from the surfaces of labels, where the tensors are.

Comes in: masks. Goes out: Euclidean distances in voxels, exact. The squared distance is separable, so one axis follows
another, and each is a minimum over as many shifted copies as the axis is long: 256 passes over a patch of 128³. That
suits a GPU, needs no other library, and what it does depends on shapes only, so it can be traced. On a CPU it is slow
for large patches; benchmarks/choices.py measures it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def signed_distance(inside: Tensor, outside: Tensor) -> Tensor:
    """How far voxels are from a surface: outside of it to the nearest voxel inside, above 0; inside, 0 or below.

    Inside it is 1 minus the distance to the nearest voxel outside, so that the voxels at the surface have 0.

    Args:
        inside: (batch, labels, *axes), true where the label is.
        outside: likewise, where it is not; voxels that are neither are not known, and have 0.

    Returns:
        float32; 0 for a label whose sample has only one of the two.

    >>> inside = torch.tensor([[[0, 0, 1, 1, 1, 1]]], dtype=torch.bool)
    >>> signed_distance(inside, ~inside)
    tensor([[[ 2.,  1.,  0., -1., -2., -3.]]])
    """
    signed = torch.where(inside, 1 - distance_to(outside), torch.where(outside, distance_to(inside), 0.0))
    return torch.where(signed.isinf(), 0.0, signed)


def distance_to(mask: Tensor) -> Tensor:
    """Distance of each voxel to the nearest one in a mask; infinite where it is empty.

    Args:
        mask: (batch, labels, *axes), bool.

    Source: Felzenszwalb and Huttenlocher 2012, doi:10.4086/toc.2012.v008a019, for its separability.
    """
    squared = _along_first(mask) ** 2
    for axis in range(3, mask.dim()):
        squared = _nearest(squared, axis)
    return squared.sqrt()


def _along_first(mask: Tensor) -> Tensor:
    """Distance along axis 2 alone: to the last voxel before, or the first after."""
    places = torch.arange(mask.shape[2], dtype=torch.float32, device=mask.device)
    places = places.view(-1, *[1] * (mask.dim() - 3))
    before = torch.where(mask, places, -torch.inf).cummax(2).values
    after = torch.where(mask, -places, -torch.inf).flip(2).cummax(2).values.flip(2)
    return torch.minimum(places - before, -after - places)


def _nearest(squared: Tensor, axis: int) -> Tensor:
    """The minimum over shifts along an axis of what is there, plus the shift squared."""
    nearest, size = squared.clone(), squared.shape[axis]
    for shift in range(1, size):
        low, high = nearest.narrow(axis, 0, size - shift), nearest.narrow(axis, shift, size - shift)
        torch.minimum(high, squared.narrow(axis, 0, size - shift) + shift**2, out=high)
        torch.minimum(low, squared.narrow(axis, shift, size - shift) + shift**2, out=low)
    return nearest
