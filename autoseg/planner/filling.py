"""Patch and batch that leave little of the memory unused.

Comes in: the largest patch that fits. Goes out: that one or one about as large, with its batch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from autoseg.geometry import Spacing
from autoseg.planner.memory import SMALLEST_BATCH, Memory
from autoseg.planner.topology import Topology, network_topology

ENOUGH = 0.9  # of the memory; a network that fills this much leaves nothing worth a search
SMALLEST_PATCH = 0.7  # of the largest patch's voxels; what is seen at once counts for more than the batch
STEPS = (-1, 0, 1)  # of the divisor, along each axis


class Filled(NamedTuple):
    """A patch with its batch, and how much of the memory they fill, 0…1."""

    topology: Topology
    batch_size: int
    share: float


def fill_memory(
    largest: Topology, spacing_mm: Spacing, median_shape: Sequence[float], memory: Memory, dataset_voxels: float
) -> Filled:
    """The largest patch that, with its batch, fills nine tenths of the memory; if none does, the fullest.

    The search for the largest patch goes down in steps of up to a third of the patch, and a batch
    is a whole number, so up to a third of the memory can be left. Patches one step longer or
    shorter along each axis often fit better.

    Args:
        largest: as `fit_patch` found it; patches are compared with it.
        spacing_mm: of the stage.
        median_shape: voxels of the median image.
        memory: what fits.
        dataset_voxels: of all training cases together.

    Returns:
        `largest` itself where more memory would change nothing: the batch is limited by the dataset.
    """
    first = _filled(largest, memory, dataset_voxels)
    by_dataset = memory.patches_by_dataset(largest, dataset_voxels)
    if first.share >= ENOUGH or max(by_dataset, SMALLEST_BATCH) < memory.patches_that_fit(largest):
        return first
    found = [_filled(topology, memory, dataset_voxels) for topology in _similar(largest, spacing_mm, median_shape)]
    fitting = [one for one in found if one.batch_size >= memory.least_batch and one.share <= 1]
    full = [one for one in fitting if one.share >= ENOUGH]
    if full:
        return max(full, key=lambda one: (math.prod(one.topology.patch_size), one.share))
    return max([first, *fitting], key=lambda one: one.share)


def _filled(topology: Topology, memory: Memory, dataset_voxels: float) -> Filled:
    by_dataset = memory.patches_by_dataset(topology, dataset_voxels)
    batch = min(int(memory.patches_that_fit(topology)), max(by_dataset, SMALLEST_BATCH))
    return Filled(topology, batch, memory.needed_gb(topology, batch) / memory.memory_gb)


def _similar(largest: Topology, spacing_mm: Spacing, median_shape: Sequence[float]) -> Iterator[Topology]:
    """Patches up to one step away along each axis, of no fewer stages, and no further beyond the image than needed."""
    seen = {largest.patch_size}
    smallest = SMALLEST_PATCH * math.prod(largest.patch_size)
    for steps in itertools.product(STEPS, repeat=len(spacing_mm)):
        moved = zip(largest.patch_size, steps, largest.divisor, strict=True)
        sizes = [size + step * by for size, step, by in moved]
        if min(sizes) < 1:
            continue
        topology = network_topology(spacing_mm, sizes)
        patch, divisor = topology.patch_size, topology.divisor
        within = all(n < size + by for n, size, by in zip(patch, median_shape, divisor, strict=True))
        deep = len(topology.strides) >= len(largest.strides)
        if patch not in seen and within and deep and math.prod(patch) >= smallest:
            seen.add(patch)
            yield topology
