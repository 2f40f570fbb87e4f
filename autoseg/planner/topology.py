"""How deep a U-Net goes: which axes it halves at which stage, and with which kernels.

Comes in: voxel size and median image, or a patch. Goes out: `Topology`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from autoseg.geometry import Spacing
from autoseg.phrases import by
from autoseg.plan.network import divisor_of
from autoseg.planner.decided import Decided

Axes = tuple[int, ...]  # one number an axis of the stage

INITIAL_VOXELS = {2: 2048**2, 3: 256**3}  # of the patch the search starts from, by dimensions
SMALLEST_EDGE = 4  # voxels an axis keeps at the bottleneck
SIMILAR = 2.0  # axes whose spacings differ by less than this factor are treated alike


class Topology(NamedTuple):
    """The shape of a U-Net, for a patch it fits.

    Attributes:
        patch_size: voxels, divisible by the product of the strides.
        strides: a stage, one number an axis; the first are ones.
        kernels: a stage, one number an axis.
    """

    patch_size: Axes
    strides: tuple[Axes, ...]
    kernels: tuple[Axes, ...]

    @property
    def divisor(self) -> Axes:
        """By what each axis of the patch must be divisible."""
        return divisor_of(self.strides)


def initial_patch(spacing_mm: Spacing, median_shape: Sequence[float]) -> tuple[float, ...]:
    """The patch the search starts from: equally long in mm along all axes, within the median image.

    Args:
        spacing_mm: of the stage, 2 or 3 axes.
        median_shape: voxels of the median image at this spacing; halves occur and are kept.

    >>> initial_patch((5.0, 1.0, 1.0), (20, 600, 300))
    (20, 438, 300)
    >>> initial_patch((5000.0, 0.5, 0.5), (20, 600, 300))  # slices further apart than such a patch is long
    (1, 600, 300)
    """
    dimensions = len(spacing_mm)
    per_mm = [1 / s for s in spacing_mm]
    side_mm = (INITIAL_VOXELS[dimensions] / math.prod(per_mm)) ** (1 / dimensions)
    return tuple(min(max(round(n * side_mm), 1), size) for n, size in zip(per_mm, median_shape, strict=True))


def network_topology(spacing_mm: Spacing, size: Sequence[float]) -> Topology:
    """Halves the patch as often as it can be halved; the coarse axes later than the fine ones.

    At each stage the axes are halved that are at least 8 voxels long and whose voxels are less
    than twice as large as the smallest among those; an axis that would be alone needs 12.
    Kernels have size 1 along an axis until its voxels are less than twice as large as the
    smallest, then 3 for good; the bottleneck always has 3.

    Args:
        spacing_mm: of the stage.
        size: voxels of the patch; it is padded to what the strides divide.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, Methods.

    >>> topology = network_topology((5.0, 1.0, 1.0), (12, 128, 120))
    >>> topology.patch_size, topology.strides
    ((12, 128, 128), ((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2), (1, 2, 2), (1, 2, 2)))
    >>> topology.kernels
    ((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3))
    """
    axes = range(len(spacing_mm))
    voxel, edge = list(spacing_mm), list(size)
    kernel = [1 for _ in axes]
    strides, kernels = [tuple(1 for _ in axes)], []
    while halved := _axes_to_halve(voxel, edge):
        kernel = [3 if kernel[axis] == 3 or voxel[axis] / min(voxel) < SIMILAR else 1 for axis in axes]
        kernels.append(tuple(kernel))
        strides.append(tuple(2 if axis in halved else 1 for axis in axes))
        for axis in halved:
            voxel[axis] *= 2
            edge[axis] = math.ceil(edge[axis] / 2)
    kernels.append(tuple(3 for _ in axes))
    patch_size = tuple(math.ceil(n / step) * step for n, step in zip(size, divisor_of(strides), strict=True))
    return Topology(patch_size, tuple(strides), tuple(kernels))


def topology_parts(topology: Topology, spacing_mm: Spacing) -> dict[str, Decided[Any]]:
    """Strides and kernels of a topology: path within a stage → decision."""
    facts = {"patch_size": topology.patch_size, "spacing_mm": spacing_mm}
    bottleneck = [n // divisor for n, divisor in zip(topology.patch_size, topology.divisor, strict=True)]
    *first, last = (str(divisor.bit_length() - 1) for divisor in topology.divisor)
    strides = (
        f"The patch of {by(topology.patch_size)} voxels is halved {', '.join(first)} and {last} times along its axes, "
        f"so {by(bottleneck)} voxels are left at the coarsest level. An axis is halved as long as it has "
        f"{2 * SMALLEST_EDGE} voxels or more ({3 * SMALLEST_EDGE} where it is halved alone) and they are less than "
        "twice as large as those of the finest such axis."
    )
    narrow = sum(1 in kernel for kernel in topology.kernels)
    where = "At the finest level" if narrow == 1 else f"At the {narrow} finest levels"
    kernels = (
        f"{where} kernels do not reach across axes that are at least twice as coarse as the finest; from there on they "
        "take 3 voxels along every axis."
        if narrow
        else "No axis is twice as coarse as the finest, so kernels take 3 voxels along every axis."
    )
    return {
        "network.strides": Decided(topology.strides, "network_topology", facts, strides),
        "network.kernels": Decided(topology.kernels, "network_topology", facts, kernels),
    }


def _axes_to_halve(voxel_mm: Sequence[float], edge: Sequence[float]) -> list[int]:
    long = [axis for axis, voxels in enumerate(edge) if voxels >= 2 * SMALLEST_EDGE]
    if not long:
        return []
    smallest = min(voxel_mm[axis] for axis in long)
    halved = [axis for axis in long if voxel_mm[axis] / smallest < SIMILAR]
    if len(halved) == 1 and edge[halved[0]] < 3 * SMALLEST_EDGE:
        return []
    return halved
