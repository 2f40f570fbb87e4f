"""Where a training patch lies: the case, the centre, the position. Pure, driven by one generator.

Comes in: which cases hold which target; the shape of a case and its voxel locations by target.
Goes out: the case; the patch's first voxel.

The patch lies inside the volume where it fits, and is centred on the volume along axes where the
volume is smaller:

    volume      |---------------------|            |-------|
    patch          [------]  anywhere           [-------------]  always here
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from autoseg.preprocessing import Locations


def is_foreground_sample(place: int, batch_size: int, fraction: float, generator: np.random.Generator) -> bool:
    """Whether the sample at `place` of a batch is centred on foreground: the last `fraction` of the batch.

    A batch of one cannot be divided: it is drawn.

    >>> generator = np.random.default_rng(0)
    >>> [is_foreground_sample(place, 4, 0.33, generator) for place in range(4)]
    [False, False, False, True]
    >>> [is_foreground_sample(place, 2, 0.33, generator) for place in range(2)]
    [False, True]
    """
    if batch_size == 1:
        return bool(generator.random() < fraction)
    return place >= round(batch_size * (1 - fraction))


def holders(located: Sequence[Sequence[int]]) -> dict[int, NDArray[np.int64]]:
    """Target → places of the cases that hold it; without the targets that no case holds.

    Args:
        located: of each case, how many voxels of each target are known; see `store.Record`.

    >>> holders([(5, 0, 0), (7, 2, 0)])
    {0: array([0, 1]), 1: array([1])}
    """
    targets = range(len(located[0]))
    found = {target: np.flatnonzero([case[target] > 0 for case in located]) for target in targets}
    return {target: cases for target, cases in found.items() if len(cases)}


def draw_by_label(holding: Mapping[int, NDArray[np.int64]], generator: np.random.Generator) -> tuple[int, int]:
    """A target, each as likely as the other, and the place of a case that holds it, each as likely as the other.

    Args:
        holding: as `holders` gives it; not empty.
        generator: drives both draws.
    """
    target = sorted(holding)[int(generator.integers(len(holding)))]
    cases = holding[target]
    return target, int(cases[generator.integers(len(cases))])


def draw_start(
    shape: Sequence[int],
    patch: Sequence[int],
    locations: Locations,
    foreground: bool,
    generator: np.random.Generator,
    target: int | None = None,
) -> tuple[int, ...]:
    """First voxel of a patch; negative where the patch begins before the volume.

    Args:
        shape: of the volume, (z, y, x).
        patch: size of the patch, (z, y, x).
        locations: voxels to centre a patch on.
        foreground: centre the patch on a voxel of a target, drawn uniformly among those present.
        generator: drives every draw.
        target: centre the patch on a voxel of this target, which the case holds, whatever `foreground` says.
    """
    lowest = [-(max(0, size - extent) // 2) for size, extent in zip(patch, shape, strict=True)]
    highest = [max(low, extent - size) for low, size, extent in zip(lowest, patch, shape, strict=True)]
    voxels = _candidates(locations, foreground, generator) if target is None else locations.targets[target]
    if voxels is None:
        return tuple(int(generator.integers(low, high + 1)) for low, high in zip(lowest, highest, strict=True))
    centre = voxels[generator.integers(len(voxels))]
    starts = [int(at) - size // 2 for at, size in zip(centre, patch, strict=True)]
    return tuple(min(max(start, low), high) for start, low, high in zip(starts, lowest, highest, strict=True))


def draw_in_slice(
    shape: Sequence[int], patch: Sequence[int], locations: Locations, generator: np.random.Generator
) -> tuple[int, ...]:
    """First voxel of a patch whose middle slice holds a target, each such slice as likely as the other.

    Within the slice it lies anywhere. Where the case holds no target, it lies anywhere at all.

    Args:
        shape: of the volume, (z, y, x).
        patch: size of the patch, (z, y, x).
        locations: voxels of the targets.
        generator: drives every draw.
    """
    start = draw_start(shape, patch, locations, False, generator)
    slices = np.unique(np.concatenate([voxels[:, 0] for voxels in locations.targets]))
    if not len(slices) or patch[0] >= shape[0]:
        return start
    first = int(slices[generator.integers(len(slices))]) - patch[0] // 2
    return min(max(first, 0), shape[0] - patch[0]), *start[1:]


def _candidates(locations: Locations, foreground: bool, generator: np.random.Generator) -> NDArray[np.int32] | None:
    """The voxels one of which becomes the centre; None for anywhere."""
    present = [voxels for voxels in locations.targets if len(voxels)]
    if foreground and present:
        return present[int(generator.integers(len(present)))]
    if locations.annotated is not None and len(locations.annotated):
        return locations.annotated
    return None
