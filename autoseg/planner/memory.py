"""The largest patch and the batch that the memory allows.

Comes in: voxel size, median image, memory. Goes out: a `Topology` and a batch size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from autoseg.errors import PlanError
from autoseg.geometry import Spacing
from autoseg.planner.decided import Decided, by
from autoseg.planner.footprint import feature_map_voxels
from autoseg.planner.topology import Topology, initial_patch, network_topology

REFERENCE_GB = 8.0
SMALLEST_BATCH = 2
LARGEST_SHARE = 0.05  # of the dataset's voxels in one batch; more adds little but time


class Reference(NamedTuple):
    """A network known to fill 8 GB: feature map voxels of one patch, at a batch size."""

    voxels: float
    batch_size: int


REFERENCES = {2: Reference(85e6, 12), 3: Reference(560e6, 2)}  # by dimensions


def fit_patch(spacing_mm: Spacing, median_shape: Sequence[float], outputs: int, memory_gb: float) -> Decided[Topology]:
    """The largest patch, with its network, of which a batch of two fits the memory.

    From the patch equally long in mm along all axes, clipped to the median image, the axis that
    covers most of the image is shortened, one step of its divisor at a time.

    Args:
        spacing_mm: of the stage, 2 or 3 axes.
        median_shape: voxels of the median image at this spacing.
        outputs: channels of the network's head.
        memory_gb: for training.

    Raises:
        PlanError: the images are too small for a U-Net, or the memory is.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, Methods.
    """
    start = initial_patch(spacing_mm, median_shape)
    topology = network_topology(spacing_mm, start)
    if len(topology.strides) < 2:
        raise PlanError(
            f"the median image, {by(median_shape)} voxels of {by(spacing_mm, 2)} mm, is too small for a U-Net: "
            "two axes of at least 8 voxels, or one of 12, must be there to be halved. Use larger or finer images."
        )
    while (needed := _needed_gb(topology, outputs)) > memory_gb:
        smaller = _shortened(topology, spacing_mm, median_shape)
        if smaller is None:
            raise PlanError(
                f"budget.memory_gb is {memory_gb:g}, but the smallest network for images of {by(median_shape)} voxels "
                f"needs {math.ceil(needed * 1000) / 1000:g} GB. Raise the memory (--memory) to that or more."
            )
        topology = smaller
    share = math.prod(topology.patch_size) / math.prod(median_shape)
    facts = {
        "median_shape": tuple(median_shape),
        "initial_patch": start,
        "memory_gb": memory_gb,
        "needed_gb": round(needed, 3),
    }
    return Decided(topology, "fit_patch", facts, _reason(topology, median_shape, share, memory_gb))


def fit_batch(topology: Topology, outputs: int, memory_gb: float, dataset_voxels: float) -> Decided[int]:
    """As many patches as fit the memory, but no more than 5 % of the dataset, and at least 2.

    Args:
        topology: patch and network.
        outputs: channels of the network's head.
        memory_gb: for training.
        dataset_voxels: of all training cases together, after resampling.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, Methods.
    """
    reference = REFERENCES[len(topology.patch_size)]
    allowed = reference.voxels * (memory_gb / REFERENCE_GB)
    by_memory = round(allowed / feature_map_voxels(topology, outputs) * reference.batch_size)
    by_dataset = round(dataset_voxels * LARGEST_SHARE / math.prod(topology.patch_size))
    value = max(min(by_memory, by_dataset), SMALLEST_BATCH)
    if value > min(by_memory, by_dataset):
        reason = "Two patches a batch are the least that training is stable with."
    elif by_dataset < by_memory:
        reason = f"{by_memory} patches would fit {memory_gb:g} GB, but {value} hold 5 % of the dataset's voxels."
    else:
        reason = f"{value} patches of {by(topology.patch_size)} voxels fit {memory_gb:g} GB."
    facts = {"fit_memory": by_memory, "hold_five_percent": by_dataset, "memory_gb": memory_gb}
    return Decided(value, "fit_batch", facts, reason)


def _needed_gb(topology: Topology, outputs: int) -> float:
    """Memory of a batch of two, by nnU-Net's measure."""
    reference = REFERENCES[len(topology.patch_size)]
    return feature_map_voxels(topology, outputs) / reference.batch_size * 2 / reference.voxels * REFERENCE_GB


def _shortened(topology: Topology, spacing_mm: Spacing, median_shape: Sequence[float]) -> Topology | None:
    """The next smaller patch, or None where no U-Net is left."""
    patch = list(topology.patch_size)
    covered = [n / size for n, size in zip(patch, median_shape, strict=True)]
    axis = max(range(len(patch)), key=lambda a: (covered[a], a))
    # A shorter axis may be halved less often; then a smaller step is enough.
    trial = list(patch)
    trial[axis] -= topology.divisor[axis]
    patch[axis] -= network_topology(spacing_mm, trial).divisor[axis]
    if patch[axis] < 1:
        return None
    smaller = network_topology(spacing_mm, patch)
    return smaller if len(smaller.strides) >= 2 else None


def _reason(topology: Topology, median_shape: Sequence[float], share: float, memory_gb: float) -> str:
    patch = by(topology.patch_size)
    if all(n >= size for n, size in zip(topology.patch_size, median_shape, strict=True)):
        return (
            f"The whole median image, {by(median_shape)} voxels, fits {memory_gb:g} GB. The patch, {patch}, has its "
            f"sizes rounded up to multiples of {by(topology.divisor)}, which the network can halve."
        )
    return (
        f"The median image has {by(median_shape)} voxels. {patch}, {100 * share:.2g} % of it, is the largest "
        f"patch of which a batch fits {memory_gb:g} GB."
    )
