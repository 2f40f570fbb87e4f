"""Patches and batches that leave little of a memory unused, in a memory that counts voxels."""

from __future__ import annotations

import math

import pytest

from autoseg.planner.filling import ENOUGH, SMALLEST_PATCH, fill_memory
from autoseg.planner.memory import Memory, largest_patch
from autoseg.planner.topology import network_topology

MM = (1.0, 1.0, 1.0)
CUBE = 128**3
MANY = 1e15  # voxels of a dataset that limits no batch


def voxels_only(budget: float, largest_share: float = 0.05) -> Memory:
    """A memory that holds so many voxels, whatever the network."""
    return Memory(
        budget,
        lambda topology: budget // math.prod(topology.patch_size),
        lambda topology, batch: math.prod(topology.patch_size) * batch,
        2,
        largest_share,
    )


def filled(patch, budget, image=(512, 512, 512), spacing_mm=MM, dataset_voxels=MANY):
    largest = network_topology(spacing_mm, patch)
    assert largest.patch_size == patch
    return fill_memory(largest, spacing_mm, image, voxels_only(budget), dataset_voxels)


@pytest.mark.parametrize(
    ("budget", "image", "voxels", "batch", "share"),
    [
        # 2 of 2.1 are 95 %
        pytest.param(2.1, 512, CUBE, 2, 2 / 2.1, id="full enough"),
        # a step is a quarter of an edge: 160 × 128 × 128 is 1.25 cubes
        pytest.param(2.6, 512, 1.25 * CUBE, 2, 2.5 / 2.6, id="a larger patch"),
        # 1.5625 cubes, twice, are 3.125; of 3.4, 92 %
        pytest.param(3.4, 512, 1.5625 * CUBE, 2, 3.125 / 3.4, id="two longer edges"),
        # one longer edge and one shorter one are 0.9375 cubes, and three of them fill more than two of 1.25
        pytest.param(2.85, 512, 0.9375 * CUBE, 3, 2.8125 / 2.85, id="a longer edge and a shorter one"),
        # where the patch is the image, edges can only be shorter: 3 of 0.75 cubes
        pytest.param(2.4, 128, 0.75 * CUBE, 3, 2.25 / 2.4, id="more of a smaller patch"),
        pytest.param(2.6, 128, 0.75 * CUBE, 3, 2.25 / 2.6, id="as full as can be"),
    ],
)
def test_the_largest_patch_that_fills_nine_tenths_or_else_the_fullest(budget, image, voxels, batch, share):
    found = filled((128, 128, 128), budget * CUBE, (image,) * 3)
    assert math.prod(found.topology.patch_size) == voxels
    assert found.batch_size == batch
    assert found.share == pytest.approx(share)


@pytest.mark.parametrize("cubes", [2.0, 2.2, 2.3, 2.5, 2.7, 2.9, 3.2, 3.7, 4.9, 7.9, 25.5])
@pytest.mark.parametrize(
    ("spacing_mm", "patch", "image"),
    [
        (MM, (128, 128, 128), (512, 512, 512)),
        (MM, (128, 128, 128), (138, 170, 138)),
        ((3.6, 0.6, 0.6), (16, 320, 256), (20, 320, 319)),
        ((1.0, 1.0), (512, 512), (600, 512)),
        ((1.0, 1.0), (448, 384), (5000, 5000)),
    ],
)
def test_bounds(spacing_mm, patch, image, cubes):
    """Never more than the memory, never far smaller, never less full, never shallower, never beyond the image."""
    budget, voxels = cubes * math.prod(patch), math.prod(patch)
    largest, found = network_topology(spacing_mm, patch), filled(patch, budget, image, spacing_mm)
    assert found.batch_size * math.prod(found.topology.patch_size) == pytest.approx(found.share * budget)
    assert (cubes // 1) / cubes <= found.share <= 1 or found.share >= ENOUGH
    assert found.share <= 1
    assert found.batch_size >= 2
    assert math.prod(found.topology.patch_size) >= SMALLEST_PATCH * voxels
    assert len(found.topology.strides) >= len(largest.strides)
    assert found.topology == network_topology(spacing_mm, found.topology.patch_size)
    for size, most, by in zip(found.topology.patch_size, image, found.topology.divisor, strict=True):
        assert size < most + by


def test_where_the_dataset_limits_the_batch_the_largest_patch_is_kept():
    """A twentieth of 60 cubes are 3; 7 would fit, and no patch would make use of that."""
    found = filled((128, 128, 128), 7.9 * CUBE, dataset_voxels=60 * CUBE)
    assert (found.topology.patch_size, found.batch_size) == ((128, 128, 128), 3)


def test_a_dataset_smaller_than_a_batch_limits_it_to_two():
    found = filled((128, 128, 128), 3.5 * CUBE, dataset_voxels=5 * CUBE)
    assert (found.topology.patch_size, found.batch_size) == ((128, 128, 128), 2)


def test_the_largest_patch_of_a_search_is_filled():
    """The search goes down to 128³, of which 2 fill 77 %: a step back up, along one axis only, fills 96 %."""
    memory = voxels_only(2.6 * CUBE)
    largest = largest_patch(MM, (512, 512, 512), memory)
    found = fill_memory(largest, MM, (512, 512, 512), memory, MANY)
    assert found.share >= ENOUGH
    assert math.prod(found.topology.patch_size) >= math.prod(largest.patch_size)
