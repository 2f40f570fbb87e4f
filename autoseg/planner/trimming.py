"""Patches no larger than the image, where time is short."""

from __future__ import annotations

import math
from collections.abc import Sequence

from autoseg.geometry import Spacing
from autoseg.planner.decided import Decided, by
from autoseg.planner.topology import Topology, network_topology

SEEN = 0.85  # of the median image, that a patch keeps along each axis


def trim_patch(patch: Decided[Topology], spacing_mm: Spacing, median_shape: Sequence[float]) -> Decided[Topology]:
    """Rounds a patch that holds the whole image down to what the network can halve, instead of up.

    A patch is a multiple of the strides, so one that holds the image is padded. Padding costs as much time as
    image and teaches nothing: on hippocampus, 36 × 50 × 35 voxels in the median, patches of 32 × 48 × 32 have
    45 % fewer voxels than those of 40 × 56 × 40, and so nearly twice as many are learnt from in the same time.
    What they leave out at the border is seen by other patches.

    Args:
        patch: with its network, as the memory allows it.
        spacing_mm: of the stage.
        median_shape: voxels of the median image.

    Returns:
        The patch shortened by one step along the axes that it overhangs, if it still holds 85 % of the median
        image there and the network keeps its depth; else as given.

    >>> topology = network_topology((1.0, 1.0, 1.0), (36, 50, 35))
    >>> trim_patch(Decided(topology, "", {}, ""), (1.0, 1.0, 1.0), (36, 50, 35)).value.patch_size
    (32, 48, 32)
    """
    whole = patch.value
    sizes = [
        size - step if size > most and size - step >= SEEN * most else size
        for size, step, most in zip(whole.patch_size, whole.divisor, median_shape, strict=True)
    ]
    trimmed = network_topology(spacing_mm, sizes)
    if trimmed.strides != whole.strides or trimmed.patch_size == whole.patch_size:
        return patch
    spared = 1 - math.prod(trimmed.patch_size) / math.prod(whole.patch_size)
    reason = (
        f"The median image has {by(median_shape)} voxels. A patch that holds all of it would have "
        f"{by(whole.patch_size)}, for sizes are multiples of {by(whole.divisor)}, and be padded; in a training by the "
        f"clock it is rounded down to {by(trimmed.patch_size)}, which takes {100 * spared:.0f} % less time."
    )
    facts = {**patch.facts, "whole_patch": whole.patch_size}
    alternative = f"Without a time limit it would be {by(whole.patch_size)}."
    return Decided(trimmed, "trim_patch", facts, reason, alternative)
