"""Patches and batches for a memory."""

from __future__ import annotations

import pytest

from autoseg.errors import PlanError
from autoseg.planner.memory import fit_batch, fit_patch
from autoseg.planner.topology import network_topology

MM = (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("spacing_mm", "median_shape", "memory_gb", "expected"),
    [
        (MM, (36, 50, 35), 8, (40, 56, 40)),
        (MM, (138, 170, 138), 8, (128, 128, 128)),
        (MM, (138, 170, 138), 24, (160, 192, 160)),
        (MM, (512, 512, 512), 8, (128, 128, 128)),
        (MM, (512, 512, 512), 1, (64, 64, 64)),
        ((1.0, 1.0), (512, 512), 8, (512, 512)),
    ],
)
def test_patch(spacing_mm, median_shape, memory_gb, expected):
    assert fit_patch(spacing_mm, median_shape, 3, memory_gb).value.patch_size == expected


@pytest.mark.parametrize(
    ("size", "memory_gb", "dataset_voxels", "expected", "reason"),
    [
        ((128, 128, 128), 8, 1e12, 2, "2 patches of 128 × 128 × 128 voxels fit 8 GB."),
        ((40, 56, 40), 8, 1e12, 58, "58 patches of 40 × 56 × 40 voxels fit 8 GB."),
        ((40, 56, 40), 8, 260 * 36 * 50 * 35, 9, "58 patches would fit 8 GB, but 9 hold 5 % of the dataset's voxels."),
        ((40, 56, 40), 8, 10_000, 2, "Two patches a batch are the least that training is stable with."),
        ((512, 512), 8, 1e12, 12, "12 patches of 512 × 512 voxels fit 8 GB."),
    ],
)
def test_batch(size, memory_gb, dataset_voxels, expected, reason):
    topology = network_topology((1.0,) * len(size), size)
    decided = fit_batch(topology, 3, memory_gb, dataset_voxels)
    assert (decided.value, decided.reason) == (expected, reason)


def test_reasons():
    assert fit_patch(MM, (36, 50, 35), 3, 8).reason == (
        "The whole median image, 36 × 50 × 35 voxels, fits 8 GB. The patch, 40 × 56 × 40, has its sizes rounded up to "
        "multiples of 8 × 8 × 8, which the network can halve."
    )
    assert fit_patch(MM, (512, 512, 512), 3, 8).reason == (
        "The median image has 512 × 512 × 512 voxels. 128 × 128 × 128, 1.6 % of it, is the largest patch of which a "
        "batch fits 8 GB."
    )


def test_too_little_memory_says_what_would_do():
    with pytest.raises(PlanError) as error:
        fit_patch(MM, (64, 64, 64), 3, 0.0001)
    assert str(error.value) == (
        "budget.memory_gb is 0.0001, but the smallest network for images of 64 × 64 × 64 voxels needs 0.002 GB. "
        "Raise the memory (--memory) to that or more."
    )
    assert fit_patch(MM, (64, 64, 64), 3, 0.002).value.patch_size == (10, 8, 8)


def test_too_small_images():
    with pytest.raises(PlanError) as error:
        fit_patch(MM, (6, 7, 7), 3, 8)
    assert str(error.value) == (
        "the median image, 6 × 7 × 7 voxels of 1.00 × 1.00 × 1.00 mm, is too small for a U-Net: two axes of at least "
        "8 voxels, or one of 12, must be there to be halved. Use larger or finer images."
    )
