"""Patches and batches for a memory."""

from __future__ import annotations

import math

import pytest

from autoseg.errors import PlanError
from autoseg.plan.augmentation import Blur, Copies, Noise
from autoseg.plan.plan import Budget
from autoseg.planner import derive_plan
from autoseg.planner.memory import Memory, fit_batch, fit_patch, largest_batch, with_batch
from autoseg.planner.presets import PRESETS
from autoseg.planner.topology import network_topology

MM = (1.0, 1.0, 1.0)


def nnunet(dimensions: int, memory_gb: float) -> Memory:
    return PRESETS["nnunet"].memory(dimensions, 3, memory_gb)


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
    memory = nnunet(len(spacing_mm), memory_gb)
    assert fit_patch(spacing_mm, median_shape, memory).value.patch_size == expected


@pytest.mark.parametrize(
    ("size", "memory_gb", "dataset_voxels", "expected", "reason", "alternative"),
    [
        (
            *((128, 128, 128), 8, 1e12, 2),
            "2 patches of 128 × 128 × 128 voxels fit 8 GB.",
            "3 patches would need 9.7 of 8.0 GB.",
        ),
        (
            *((40, 56, 40), 8, 1e12, 58),
            "58 patches of 40 × 56 × 40 voxels fit 8 GB.",
            "59 patches would need 8.1 of 8.0 GB.",
        ),
        (
            *((40, 56, 40), 8, 260 * 36 * 50 * 35, 9),
            "58 patches would fit 8 GB, but 9 hold 5 % of the dataset's voxels, the most that nnU-Net's rule gives one "
            "batch.",
            "10 patches would hold 5.47 % of the dataset's voxels.",
        ),
        (
            *((40, 56, 40), 8, 10_000, 2),
            "Two patches a batch are the least that training is stable with.",
            "3 patches would hold 2688 % of the dataset's voxels.",
        ),
        (
            *((512, 512), 8, 1e12, 12),
            "12 patches of 512 × 512 voxels fit 8 GB.",
            "13 patches would need 8.5 of 8.0 GB.",
        ),
    ],
)
def test_batch(size, memory_gb, dataset_voxels, expected, reason, alternative):
    topology = network_topology((1.0,) * len(size), size)
    decided = fit_batch(topology, nnunet(len(size), memory_gb), dataset_voxels)
    assert (decided.value, decided.reason, decided.alternative) == (expected, reason, alternative)


def test_a_residual_batch_may_hold_the_whole_dataset():
    topology = network_topology(MM, (40, 56, 40))
    decided = fit_batch(topology, PRESETS["nnunet-resenc-m"].memory(3, 3, 8), 10 * 40 * 56 * 40)
    assert decided.value == 10
    assert decided.reason == (
        "58 patches would fit 8 GB, but 10 hold as many voxels as the dataset, the most that nnU-Net's rule gives "
        "one batch."
    )


def voxels_only(budget: int, least_batch: int) -> Memory:
    """A memory that holds so many voxels, 1000 a GB, whatever the network."""
    return Memory(
        budget / 1000,
        lambda topology: budget / math.prod(topology.patch_size),
        lambda topology, batch: math.prod(topology.patch_size) * batch / 1000,
        least_batch,
        largest_share=0.5,
    )


@pytest.mark.parametrize("least_batch", [1, 2, 3, 16])
def test_any_measure_of_memory_will_do(least_batch):
    """The least batch fits the patch that is found, and not the one a step larger."""
    memory = voxels_only(2 * 32**3, least_batch)
    decided = fit_patch(MM, (64, 64, 64), memory)
    voxels = math.prod(decided.value.patch_size)
    assert least_batch * voxels <= 2 * 32**3
    assert f"{least_batch} patches of" in decided.alternative
    assert "would need" in decided.alternative
    assert fit_batch(decided.value, memory, 1e9).value == max(round(2 * 32**3 / voxels), 2)


def test_reasons():
    assert fit_patch(MM, (36, 50, 35), nnunet(3, 8)).reason == (
        "Patches as large as the whole median image, 36 × 50 × 35 voxels, fit 8 GB. 40 × 56 × 40 is its size rounded "
        "up to multiples of 8 × 8 × 8, which the network can halve."
    )
    assert fit_patch(MM, (512, 512, 512), nnunet(3, 8)).reason == (
        "The median image has 512 × 512 × 512 voxels. 128 × 128 × 128, 1.56 % of it, is the first patch, going down "
        "in size, of which a batch fits 8 GB."
    )


@pytest.mark.parametrize(
    ("median_shape", "memory_gb", "alternative"),
    [
        ((36, 50, 35), 8, "A larger patch would only look beyond the image."),
        # the axis that is seen least: y
        ((138, 170, 138), 8, "2 patches of 128 × 160 × 128 would need 8.1 of 8.0 GB."),
        ((512, 512, 512), 1, "2 patches of 80 × 64 × 64 would need 1.01 of 1.00 GB."),
        # patches start from 256³ voxels
        (
            *((512, 512, 512), 80),
            "2 patches of 320 × 256 × 256 would fit, too, with 64.7 of 80.0 GB, but the search takes the first that "
            "fits on its way down.",
        ),
    ],
)
def test_the_next_larger_patch(median_shape, memory_gb, alternative):
    assert fit_patch(MM, median_shape, nnunet(3, memory_gb)).alternative == alternative


def test_too_little_memory_says_what_would_do():
    with pytest.raises(PlanError) as error:
        fit_patch(MM, (64, 64, 64), nnunet(3, 0.0001))
    assert str(error.value) == (
        "budget.memory_gb is 0.0001, but the smallest network for images of 64 × 64 × 64 voxels needs 0.002 GB. "
        "Raise the memory (--memory) to that or more."
    )
    assert fit_patch(MM, (64, 64, 64), nnunet(3, 0.002)).value.patch_size == (10, 8, 8)


def test_too_small_images():
    with pytest.raises(PlanError) as error:
        fit_patch(MM, (6, 7, 7), nnunet(3, 8))
    assert str(error.value) == (
        "the median image, 6 × 7 × 7 voxels of 1.00 × 1.00 × 1.00 mm, is too small for a U-Net: two axes of at least "
        "8 voxels, or one of 12, must be there to be halved. Use larger or finer images."
    )


@pytest.mark.parametrize(
    ("planned", "most", "expected"),
    [(9, 6, 6), (9, 1, 1), (9, 8, 8), (9, 20, 8), (9, 0, None), (2, 1, 1), (1, 1, None), (5000, 6, 6)],
)
def test_the_largest_batch_that_fits(hippocampus, unasked, planned, most, expected):
    """It is sought among those smaller than the planned one, and by halves."""
    stage = with_batch(derive_plan(hippocampus, Budget(), unasked).stages["3d_fullres"], planned)
    asked = []

    def fits(smaller):
        assert smaller == with_batch(stage, size := smaller.sampling.batch_size)
        asked.append(size)
        return size <= most

    assert largest_batch(stage, fits) == expected
    assert len(asked) <= math.ceil(math.log2(planned))


@pytest.mark.parametrize(("most", "expected"), [(8, 6), (6, 6), (3, 3), (2, None)])
def test_a_patch_and_its_copies_stay_together(hippocampus, unasked, most, expected):
    stage = with_batch(derive_plan(hippocampus, Budget(), unasked).stages["3d_fullres"], 9)
    stage = stage.model_copy(update={"augmentation": (Copies(count=2, ways=((Blur(),), (Noise(),))),)})
    assert largest_batch(stage, lambda smaller: smaller.sampling.batch_size <= most) == expected
