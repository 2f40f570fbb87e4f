"""Windows of a grid over a case, one of which becomes a patch. Pure, driven by one generator.

Comes in: the class map of a case, the patch's size and the plan's grid. Goes out: the first voxel of each window that
is kept, and how likely it is.

    image     |---------------------------|
    windows   [--------]
                    [--------]
                          [--------]
                                [--------]      more than half inside: kept
                                      [--------]     less: dropped

Source: "UNet-based Segmentation of Kidney and Kidney Tumour in 3D Computed Tomography images", on KiTS19, 2.1, 2.3.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoseg.plan.sampling import SlidingGrid


class Windows(NamedTuple):
    """The windows of a case.

    Attributes:
        starts: (windows, axes), the first voxel of each; negative where a case is smaller than the patch.
        likely: (windows,), adds up to 1.
    """

    starts: NDArray[np.int64]
    likely: NDArray[np.float64]

    def draw(self, generator: np.random.Generator) -> tuple[int, ...]:
        """The first voxel of a window."""
        return tuple(self.starts[generator.choice(len(self.starts), p=self.likely)].tolist())


def find_windows(
    class_map: NDArray[np.int16], patch: Sequence[int], grid: SlidingGrid, targets: Mapping[str, Sequence[int]]
) -> Windows:
    """The windows of a case.

    Args:
        class_map: (z, y, x), class indices.
        patch: size of the patch, (z, y, x).
        grid: the plan's.
        targets: label or region → its classes.
    """
    starts = kept_windows(class_map.shape, patch, grid)
    times = np.ones(len(starts))
    for place, start in enumerate(starts):
        part = tuple(slice(max(0, first), first + size) for first, size in zip(start, patch, strict=True))
        held = np.unique(class_map[part]) if grid.likelier else ()
        named = [factor for name, factor in grid.likelier.items() if np.isin(targets[name], held).any()]
        times[place] = max(named, default=1.0)
    return Windows(starts, times / times.sum())


def kept_windows(shape: Sequence[int], patch: Sequence[int], grid: SlidingGrid) -> NDArray[np.int64]:
    """The first voxel of each window that is kept, (windows, axes).

    >>> kept_windows((100,), (40,), SlidingGrid(overlap=0.25)).ravel().tolist()  # 60 to 100 is inside, 90 to 130 not
    [0, 30, 60]
    >>> kept_windows((111,), (40,), SlidingGrid(overlap=0.25)).ravel().tolist()  # of 90 to 130, 21 of 40 are
    [0, 30, 60, 90]
    >>> kept_windows((20,), (40,), SlidingGrid()).ravel().tolist()
    [-10]
    """
    axes, enough = [], []
    for extent, size in zip(shape, patch, strict=True):
        if extent <= size:
            along = np.array([-((size - extent) // 2)])
            share = np.ones(1)  # the image was padded to the patch
        else:
            along = np.arange(0, extent, max(1, round(size * (1 - grid.overlap))))
            share = np.minimum(1, (extent - along) / size)
        axes.append(along)
        enough.append(share > grid.inside)
    starts = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    kept = np.stack(np.meshgrid(*enough, indexing="ij"), axis=-1).reshape(-1, len(axes))
    chosen: NDArray[np.int64] = starts[kept.all(1) if grid.along == "all" else kept.any(1)]
    return chosen
