"""The largest patch and the batch that the memory allows.

Comes in: voxel size, median image, and a `Memory`, which says what fits. Goes out: a `Topology` and
a batch size. How memory is reckoned is the business of whoever makes the `Memory`: nnU-Net's rule
does so from the voxels of feature maps (`presets.py`).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import NamedTuple

from autoseg.errors import PlanError
from autoseg.geometry import Spacing, in_mm
from autoseg.phrases import by, number, percent
from autoseg.plan.augmentation_checks import patches_together
from autoseg.plan.plan import Stage
from autoseg.planner.decided import Decided
from autoseg.planner.topology import Topology, initial_patch, network_topology

SMALLEST_BATCH = 2
MOST_DIGITS = 12  # after the point of a number of GB


class TooLittleMemory(PlanError):
    """Not even the smallest network fits.

    Attributes:
        memory_gb: that there is.
        median_shape: voxels of the image the network is for.
        topology: of the smallest network.
        batch_size: the fewest patches it may be trained with.
        needed_gb: for that.
    """

    def __init__(
        self, memory_gb: float, median_shape: Sequence[float], topology: Topology, batch_size: int, needed_gb: float
    ) -> None:
        """Tells the least memory that will do."""
        self.memory_gb, self.median_shape, self.topology = memory_gb, tuple(median_shape), topology
        self.batch_size, self.needed_gb = batch_size, needed_gb
        super().__init__(
            f"budget.memory_gb is {memory_gb:g}, but the smallest network for images of {by(median_shape)} voxels "
            f"needs {self.enough_gb:.10g} GB. Raise the memory (--memory) to that or more."
        )

    @property
    def enough_gb(self) -> float:
        """What is needed, rounded up."""
        return math.ceil(self.needed_gb * 1000) / 1000

    def of(self, memory_gb: float) -> TooLittleMemory:
        """The same of another memory."""
        return TooLittleMemory(memory_gb, self.median_shape, self.topology, self.batch_size, self.needed_gb)


class Memory(NamedTuple):
    """What fits, by whatever measure. Both functions are asked often, and often the same.

    Attributes:
        memory_gb: for training.
        patches_that_fit: how many patches of a topology fit at once; a batch is that, rounded.
        needed_gb: what training on so many patches of a topology needs.
        least_batch: patches that must fit, or a smaller patch is looked for.
        largest_share: of the dataset's voxels in one batch, 0…1.
    """

    memory_gb: float
    patches_that_fit: Callable[[Topology], float]
    needed_gb: Callable[[Topology, int], float]
    least_batch: int
    largest_share: float

    def fits(self, topology: Topology) -> bool:
        """Whether the least batch of a topology does."""
        return self.patches_that_fit(topology) >= self.least_batch

    def patches_by_dataset(self, topology: Topology, dataset_voxels: float) -> int:
        """How many patches of a topology hold as much of the dataset as one batch may."""
        return round(dataset_voxels * self.largest_share / math.prod(topology.patch_size))

    def compared(self, topology: Topology, batch_size: int) -> str:
        """What a batch needs of what there is: "9.4 of 8.0 GB"."""
        return compared(self.needed_gb(topology, batch_size), self.memory_gb)


def compared(needed_gb: float, memory_gb: float) -> str:
    """What is needed of what there is, with as many digits as tell them apart, and each to a twentieth.

    >>> compared(9.44, 8.0), compared(8.04, 8.0), compared(0.34, 0.05)
    ('9.4 of 8.0 GB', '8.04 of 8.00 GB', '0.34 of 0.05 GB')
    """
    for digits in range(1, MOST_DIGITS + 1):
        told = f"{needed_gb:.{digits}f}", f"{memory_gb:.{digits}f}"
        off = abs(float(told[0]) - needed_gb) > needed_gb / 20 or abs(float(told[1]) - memory_gb) > memory_gb / 20
        if told[0] != told[1] and not off:
            break
    return f"{told[0]} of {told[1]} GB"


def fit_patch(spacing_mm: Spacing, median_shape: Sequence[float], memory: Memory) -> Decided[Topology]:
    """The largest patch, with its network, of which the least batch fits the memory.

    From the patch equally long in mm along all axes, clipped to the median image, the axis that
    covers most of the image is shortened, one step of its divisor at a time.

    Args:
        spacing_mm: of the stage, 2 or 3 axes.
        median_shape: voxels of the median image at this spacing.
        memory: what fits.

    Raises:
        PlanError: the images are too small for a U-Net.
        TooLittleMemory: the memory is.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, Methods.
    """
    topology = largest_patch(spacing_mm, median_shape, memory)
    facts = {
        "median_shape": tuple(median_shape),
        "initial_patch": initial_patch(spacing_mm, median_shape),
        "memory_gb": memory.memory_gb,
        "needed_gb": round(memory.needed_gb(topology, memory.least_batch), 3),
        "for_patches": memory.least_batch,
    }
    reason = _reason(topology, median_shape, memory.memory_gb)
    return Decided(topology, "fit_patch", facts, reason, _larger(topology, spacing_mm, median_shape, memory))


def largest_patch(spacing_mm: Spacing, median_shape: Sequence[float], memory: Memory) -> Topology:
    """As `fit_patch`, without saying why."""
    topology = network_topology(spacing_mm, initial_patch(spacing_mm, median_shape))
    if len(topology.strides) < 2:
        raise PlanError(
            f"the median image, {by(median_shape)} voxels of {in_mm(spacing_mm)} mm, is too small for a U-Net: "
            "two axes of at least 8 voxels, or one of 12, must be there to be halved. Use larger or finer images."
        )
    while not memory.fits(topology):
        smaller = _shortened(topology, spacing_mm, median_shape)
        if smaller is None:
            needed = memory.needed_gb(topology, memory.least_batch)
            raise TooLittleMemory(memory.memory_gb, median_shape, topology, memory.least_batch, needed)
        topology = smaller
    return topology


def fit_batch(topology: Topology, memory: Memory, dataset_voxels: float) -> Decided[int]:
    """As many patches as fit the memory, but no more than a share of the dataset, and at least 2.

    Args:
        topology: patch and network.
        memory: what fits.
        dataset_voxels: of all training cases together, after resampling.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, Methods.
    """
    patch, gigabytes, share = topology.patch_size, memory.memory_gb, memory.largest_share
    by_memory = round(memory.patches_that_fit(topology))
    by_dataset = memory.patches_by_dataset(topology, dataset_voxels)
    value = max(min(by_memory, by_dataset), SMALLEST_BATCH)
    if value > min(by_memory, by_dataset):
        reason = "Two patches a batch are the least that training is stable with."
    elif by_dataset < by_memory:
        part = "as many voxels as the dataset" if share == 1 else f"{percent(share)} of the dataset's voxels"
        reason = (
            f"{by_memory} patches would fit {number(gigabytes)} GB, but {value} hold {part}, the most that nnU-Net's "
            "rule gives one batch."
        )
    else:
        reason = f"{value} patches of {by(patch)} voxels fit {number(gigabytes)} GB."
    if by_dataset < by_memory:
        more = (value + 1) * math.prod(patch) / dataset_voxels
        alternative = f"{value + 1} patches would hold {percent(more)} of the dataset's voxels."
    else:
        alternative = f"{value + 1} patches would need {memory.compared(topology, value + 1)}."
    facts = {"fit_memory": by_memory, "fit_dataset": by_dataset, "largest_share": share, "memory_gb": gigabytes}
    return Decided(value, "fit_batch", facts, reason, alternative)


def largest_batch(stage: Stage, fits: Callable[[Stage], bool]) -> int | None:
    """The most patches that fit, of fewer than the stage has; None where not even one does, with its copies if any.

    Args:
        stage: as planned.
        fits: whether the stage does with another batch; of no more patches than one that fits, it does, too. It is
            asked as seldom as may be, for it traces a step.
    """
    together = patches_together(stage.augmentation)
    smaller = range(together, stage.sampling.batch_size, together)
    return together * bisect_left(smaller, True, key=lambda size: not fits(with_batch(stage, size))) or None


def with_batch(stage: Stage, batch_size: int) -> Stage:
    """The stage with another batch."""
    return stage.model_copy(update={"sampling": stage.sampling.model_copy(update={"batch_size": batch_size})})


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


def _larger(topology: Topology, spacing_mm: Spacing, median_shape: Sequence[float], memory: Memory) -> str:
    """The next larger patch, along the axis of which the patch covers least, and why it was not taken."""
    covered = [n / size for n, size in zip(topology.patch_size, median_shape, strict=True)]
    axis = min(range(len(covered)), key=lambda a: covered[a])
    if covered[axis] >= 1:
        return "A larger patch would only look beyond the image."
    grown = list(topology.patch_size)
    grown[axis] += topology.divisor[axis]
    larger = network_topology(spacing_mm, grown)
    patches = f"{memory.least_batch} patches of {by(larger.patch_size)}"
    needed = memory.compared(larger, memory.least_batch)
    if not memory.fits(larger):
        return f"{patches} would need {needed}."
    # The search goes down from the largest patch there is, and passes some by.
    return f"{patches} would fit, too, with {needed}, but the search takes the first that fits on its way down."


def _reason(topology: Topology, median_shape: Sequence[float], memory_gb: float) -> str:
    patch = by(topology.patch_size)
    if all(n >= size for n, size in zip(topology.patch_size, median_shape, strict=True)):
        return (
            f"Patches as large as the whole median image, {by(median_shape)} voxels, fit {number(memory_gb)} GB. "
            f"{patch} is its size rounded up to multiples of {by(topology.divisor)}, which the network can halve."
        )
    share = math.prod(topology.patch_size) / math.prod(median_shape)
    return (
        f"The median image has {by(median_shape)} voxels. {patch}, {percent(share)} of it, is the first "
        f"patch, going down in size, of which a batch fits {number(memory_gb)} GB."
    )
