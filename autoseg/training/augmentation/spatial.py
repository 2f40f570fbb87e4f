"""Rotation and scaling of a patch: one affine map, one resampling for image and labels.

Comes in: the plan's `Spatial` and a generator; then an image and labels larger than the patch.
Goes out: a matrix; then image and labels of the patch's size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoseg.plan.augmentation import Spatial, Transform
from autoseg.training.augmentation.interpolation import interpolate


def draw_view(
    transforms: Sequence[Transform], patch: Sequence[int], generator: np.random.Generator
) -> tuple[NDArray[np.float64] | None, tuple[int, ...]]:
    """How a patch is turned and scaled, and what has to be read for it.

    Args:
        transforms: of the sample; at most one is `Spatial`.
        patch: its size.
        generator: of its random numbers.

    Returns:
        The matrix, see `draw_affine`, and the voxels it reaches over; None and the patch's where it is read as it is.
    """
    spatial = [transform for transform in transforms if isinstance(transform, Spatial)]
    matrix = draw_affine(spatial[0], len(patch), generator) if spatial else None
    return matrix, tuple(patch) if matrix is None else source_extent(matrix, patch)


def draw_affine(spatial: Spatial, dimensions: int, generator: np.random.Generator) -> NDArray[np.float64] | None:
    """The matrix that maps a voxel of the patch to where it is read, both from the patch's centre.

    Returns:
        (dimensions, dimensions) in voxels, axes as the array's; None where nothing is changed.
    """
    # All numbers are drawn whether used or not, so that a range changed in the plan moves no other draw.
    rotate = generator.random() < spatial.rotation_probability
    angles = [math.radians(generator.uniform(r.low, r.high)) for r in spatial.rotation_degrees]
    resize = generator.random() < spatial.scale_probability
    factor = generator.uniform(spatial.scale.low, spatial.scale.high)
    matrix = np.eye(dimensions)
    if rotate:
        matrix = _rotation(angles, dimensions, spatial.in_plane)
    if resize:
        shrink = np.full(dimensions, 1 / factor)
        if dimensions == 3 and spatial.in_plane:
            shrink[0] = 1.0
        matrix = matrix * shrink
    return matrix if rotate or resize else None


def source_extent(matrix: NDArray[np.float64], patch: Sequence[int]) -> tuple[int, ...]:
    """Voxels along each axis that the mapped patch reaches over, from its first to its last."""
    reach = np.abs(matrix) @ (np.asarray(patch) - 1)
    return tuple(int(math.ceil(length)) + 2 for length in reach)


def sample_affine(
    image: Tensor,
    labels: Tensor,
    matrix: NDArray[np.float64],
    centre: Sequence[float],
    patch: Sequence[int],
    previous: int = 0,
) -> tuple[Tensor, Tensor]:
    """Reads a patch through an affine map: images linear, labels linear one class at a time.

    Args:
        image: (channels, *source), float32.
        labels: class indices (*source), int16.
        matrix: from `draw_affine`.
        centre: voxel of the source that the centre of the patch falls on.
        patch: size of what is returned.
        previous: how many of the last channels are labels, one-hot; they are interpolated as labels are.

    Returns:
        The image (channels, *patch), 0 beyond the source, and labels (*patch), background beyond it.
    """
    visible = len(image) - previous
    maps = [labels, _classes(image[visible:])] if previous else [labels]
    warped, classes = _read(image[:visible], torch.stack(maps), matrix, centre, patch)
    if previous:
        numbers = torch.arange(1, previous + 1, device=image.device).view(-1, *[1] * len(patch))
        warped = torch.cat((warped, (classes[1] == numbers).to(image.dtype)))
    return warped, classes[0]


def _read(
    images: Tensor, maps: Tensor, matrix: NDArray[np.float64], centre: Sequence[float], patch: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """`interpolate`; where slices stay slices they count as channels of a slice, and so have their map in common."""
    slices = patch[0]
    begin = centre[0] - (slices - 1) / 2
    flat = len(patch) == 3 and bool((matrix[0] == (1, 0, 0)).all() and (matrix[1:, 0] == 0).all())
    if not flat or not begin.is_integer() or begin < 0 or begin + slices > images.shape[1]:
        return interpolate(images, maps, matrix, centre, patch)
    across = [array[:, int(begin) : int(begin) + slices].flatten(0, 1) for array in (images, maps)]
    warped, classes = interpolate(across[0], across[1], matrix[1:, 1:], centre[1:], patch[1:])
    return warped.view(len(images), *patch), classes.view(len(maps), *patch)


def _classes(one_hot: Tensor) -> Tensor:
    """Number of the channel, from 1, that is not 0; 0 where all are; int16."""
    largest, channel = one_hot.max(0)
    return torch.where(largest > 0, channel + 1, 0).to(torch.int16)


def _rotation(angles: Sequence[float], dimensions: int, in_plane: bool) -> NDArray[np.float64]:
    """Rotations about axis 0, then 1, then 2; about axis 0 alone in the plane; a plane's own in 2-D."""
    if dimensions == 2:
        return _turn(2, 0, 1, angles[0])
    if in_plane:
        return _turn(3, 1, 2, angles[0])
    product = np.eye(3)
    for axis, angle in enumerate(angles):
        first, second = (other for other in range(3) if other != axis)
        product = product @ _turn(3, first, second, angle)
    return product


def _turn(dimensions: int, first: int, second: int, angle: float) -> NDArray[np.float64]:
    matrix = np.eye(dimensions)
    matrix[first, first] = matrix[second, second] = math.cos(angle)
    matrix[first, second], matrix[second, first] = -math.sin(angle), math.sin(angle)
    return matrix
