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
from torch.nn import functional

from autoseg.plan.augmentation import Spatial


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
    image: Tensor, labels: Tensor, matrix: NDArray[np.float64], centre: Sequence[float], patch: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Reads a patch through an affine map: images linear, labels linear one class at a time.

    Args:
        image: (channels, *source).
        labels: class indices (*source), int16.
        matrix: from `draw_affine`.
        centre: voxel of the source that the centre of the patch falls on.
        patch: size of what is returned.

    Returns:
        The image (channels, *patch), 0 beyond the source, and labels (*patch), background beyond it.
    """
    grid = _sampling_grid(matrix, centre, patch, image.shape[1:], image.device)
    warped = functional.grid_sample(image[None], grid, mode="bilinear", padding_mode="zeros", align_corners=True)[0]
    return warped, _sample_classes(labels, grid)


def _sample_classes(labels: Tensor, grid: Tensor) -> Tensor:
    """The class with the largest linearly interpolated share; ties go to the smaller class index."""
    classes = torch.unique(labels)
    best = torch.zeros(grid.shape[1:-1], dtype=torch.int16, device=labels.device)
    if len(classes) == 1:
        # Nothing to weigh against: the class itself inside the source, background beyond its edge.
        inside = (grid[0].abs() <= 1).all(-1)
        return torch.where(inside, classes[0], best)
    largest = torch.full(best.shape, -1.0, device=labels.device)
    for value in sorted(classes.tolist(), key=lambda c: (c < 0, c)):
        share = (labels == value).to(grid.dtype)[None, None]
        share = functional.grid_sample(share, grid, mode="bilinear", padding_mode="zeros", align_corners=True)[0, 0]
        wins = share > torch.clamp(largest, min=0.0)
        best[wins] = value
        largest = torch.maximum(largest, share)
    return best


def _sampling_grid(
    matrix: NDArray[np.float64],
    centre: Sequence[float],
    patch: Sequence[int],
    source: Sequence[int],
    device: torch.device,
) -> Tensor:
    """Coordinates for `grid_sample`: (1, *patch, axes), the axes reversed and scaled to -1…1."""
    axes = [torch.arange(size, dtype=torch.float32, device=device) - (size - 1) / 2 for size in patch]
    offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    rows = torch.as_tensor(matrix.T.copy(), dtype=torch.float32, device=device)
    voxels = offsets @ rows + torch.tensor(list(centre), dtype=torch.float32, device=device)
    extent = torch.tensor([max(1, size - 1) for size in source], dtype=torch.float32, device=device)
    return (2 * voxels / extent - 1).flip(-1)[None]


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
