"""Patches no larger than the image, where time is short."""

from __future__ import annotations

import math
from collections.abc import Sequence

from autoseg.geometry import Spacing
from autoseg.phrases import axes_named, by, percent
from autoseg.planner.decided import Decided
from autoseg.planner.topology import Topology, network_topology

SEEN = 0.85  # of the median image, that a patch keeps along each axis


def trim_patch(patch: Decided[Topology], spacing_mm: Spacing, median_shape: Sequence[float]) -> Decided[Topology]:
    """Rounds a patch that holds the whole image down to what the network can halve, instead of up.

    A patch is a multiple of the strides, so one that holds the image is padded. Padding costs as much time as
    image and teaches nothing: on hippocampus, 36 × 50 × 35 voxels in the median, patches of 32 × 48 × 32 have
    45 % fewer voxels than those of 40 × 56 × 40, and so nearly twice as many are learnt from in the same time.
    What they leave out at the border is seen by other patches. A training of 5 minutes with them reached a Dice of
    0.882, one of 10 minutes with the larger ones 0.880 (benchmarks/results/hippocampus_cpu.md); other datasets were
    not tried.

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
    share = math.prod(trimmed.patch_size) / math.prod(whole.patch_size)
    shortened = [axis for axis, size in enumerate(trimmed.patch_size) if size < whole.patch_size[axis]]
    where = axes_named(shortened) if len(shortened) < len(sizes) else "all axes"
    reason = (
        f"The patch that fits the memory has {by(whole.patch_size)} voxels, in multiples of {by(whole.divisor)}, which "
        f"the network can halve. The median image has {by(median_shape)}: along {where} the patch reaches beyond it "
        "and would be padded, which costs time and teaches nothing. As the time is limited, it is rounded down there, "
        f"to {by(trimmed.patch_size)}: {percent(round(1 - share, 2))} fewer voxels."
    )
    facts = {**patch.facts, "whole_patch": whole.patch_size}
    alternative = (
        f"Not rounded down, patches of {by(whole.patch_size)} would have {percent(round(1 / share - 1, 2))} more "
        "voxels, and an iteration take about as much longer."
    )
    return Decided(trimmed, "trim_patch", facts, reason, alternative)
