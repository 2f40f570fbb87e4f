"""A stage at a lower resolution, where images are much larger than a patch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from autoseg.geometry import Spacing, in_mm
from autoseg.phrases import by, percent
from autoseg.planner.decided import Decided
from autoseg.planner.memory import Memory, largest_patch
from autoseg.planner.topology import Topology

SMALLEST_SHARE = 0.25  # of the median image, that a patch should see
COARSENING = 1.03
LEAST_GAIN = 2.0  # times fewer voxels, or a low resolution is not worth a network
SIMILAR = 2.0  # axes less than this factor finer than the coarsest are enlarged with it


class LowResolution(NamedTuple):
    """The images at a lower resolution.

    Attributes:
        spacing: voxel size, mm, along the array's three axes.
        median_shape: whole voxels of the median image at that size.
        voxels: of the median image, not rounded.
    """

    spacing: Decided[Spacing]
    median_shape: tuple[int, ...]
    voxels: float


def low_resolution(
    spacing_mm: Spacing, median_shape: Sequence[float], memory: Memory, most_voxels: int | None = None
) -> LowResolution | None:
    """The resolution at which a patch sees a quarter of the median image; None where it would not pay.

    Voxels are enlarged step by step, axes less than half as coarse as the coarsest first. It pays if
    that leaves at most half of the voxels.

    Args:
        spacing_mm: at full resolution, along the array's three axes.
        median_shape: voxels of the median image at full resolution.
        memory: what fits.
        most_voxels: of a patch that the time allows; None where the memory alone counts.

    Raises:
        PlanError: the images or the memory are too small for a network.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, Methods.
    """
    if most_voxels is not None:
        memory = _with_small_patches(memory, most_voxels)
    image = voxels = math.prod(median_shape)
    spacing, shape = tuple(spacing_mm), tuple(max(round(n), 1) for n in median_shape)
    full_patch = patch = largest_patch(spacing_mm, median_shape, memory).patch_size
    steps = 0
    while math.prod(patch) / voxels < SMALLEST_SHARE:
        spacing = _coarser(spacing)
        sizes = [full / low * n for full, low, n in zip(spacing_mm, spacing, median_shape, strict=True)]
        voxels, shape = math.prod(sizes), tuple(max(round(n), 1) for n in sizes)
        patch = largest_patch(spacing, shape, memory).patch_size
        steps += 1
    if steps == 0 or image / voxels < LEAST_GAIN:
        return None
    seen, sees = math.prod(full_patch) / image, math.prod(patch) / voxels
    hurry = "" if most_voxels is None else "In the time there is, patches have to be small. "
    reason = (
        f"{hurry}At full resolution a patch of {by(full_patch)} voxels sees {percent(seen)} of the median image. "
        f"Voxels are enlarged, 3 % at a time, the finest axes first, until a patch ({by(patch)}) sees a quarter: after "
        f"{steps} steps, at {in_mm(spacing)} mm, it sees {100 * sees:.0f} % of {by(shape)} voxels."
    )
    facts = {
        "full_spacing_mm": tuple(spacing_mm),
        "full_median_shape": tuple(median_shape),
        "full_patch_size": full_patch,
        "smallest_share": SMALLEST_SHARE,
        "steps": steps,
        **({} if most_voxels is None else {"most_voxels": most_voxels}),
    }
    alternative = "At full resolution alone, networks would not see where in the body a patch lies."
    return LowResolution(Decided(spacing, "low_resolution", facts, reason, alternative), shape, voxels)


def _with_small_patches(memory: Memory, most_voxels: int) -> Memory:
    """The same memory, in which no larger patch fits."""

    def patches_that_fit(topology: Topology) -> float:
        return memory.patches_that_fit(topology) if math.prod(topology.patch_size) <= most_voxels else 0.0

    return memory._replace(patches_that_fit=patches_that_fit)


def _coarser(spacing_mm: Spacing) -> Spacing:
    coarsest = max(spacing_mm)
    fine = [coarsest / s > SIMILAR for s in spacing_mm]
    return tuple(s * COARSENING if is_fine or not any(fine) else s for s, is_fine in zip(spacing_mm, fine, strict=True))
