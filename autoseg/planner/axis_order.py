"""The order of the array's axes."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.geometry import Spacing, in_mm
from autoseg.planner.decided import Decided
from autoseg.planner.spacing import AXES

AxisOrder = tuple[int, int, int]


def axis_order(
    spacing_mm: Spacing, median_shape: Sequence[float], flat: bool = False, single_first: bool = True
) -> Decided[AxisOrder]:
    """Coarsest axis first, so that the other two span the sharpest slices. An axis of one voxel comes before it.

    Args:
        spacing_mm: voxel size cases are resampled to, (z, y, x).
        median_shape: voxels of the median case at that size, (z, y, x).
        flat: the images are 2-D; their own slice is the only one.
        single_first: an axis of one voxel comes first however fine it is; nnU-Net looks at spacing alone.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, Methods.

    >>> axis_order((0.8, 3.0, 0.8), (200, 40, 200)).value
    (1, 0, 2)
    """
    facts = {"spacing_mm": spacing_mm, "median_shape": tuple(median_shape)}
    if flat:
        return Decided((0, 1, 2), "axis_order", facts, "The images are 2-D; their axes stay as they are.")
    single = [axis for axis in range(3) if median_shape[axis] <= 1] if single_first else []
    first = max(single or range(3), key=lambda axis: spacing_mm[axis])
    second, third = (axis for axis in range(3) if axis != first)
    alternative = ""
    if single:
        coarsest = max(range(3), key=lambda axis: spacing_mm[axis])
        if coarsest != first:
            alternative = f"By voxel size alone {AXES[coarsest]} ({in_mm([spacing_mm[coarsest]])} mm) would come first."
        reason = f"The median image has one voxel along {AXES[first]}, so that axis comes first: across it lie slices."
    elif len(set(spacing_mm)) == 1:
        reason = f"All axes are sampled alike ({in_mm(spacing_mm[:1])} mm), so they stay as they are."
    else:
        reason = (
            f"With voxels of {in_mm(spacing_mm)} mm the axis {AXES[first]} is the coarsest. It comes first, "
            "so that slices lie in the two sharper axes."
        )
        alternative = _other_slices(spacing_mm, first)
    return Decided((first, second, third), "axis_order", facts, reason, alternative)


def _other_slices(spacing_mm: Spacing, first: int) -> str:
    """The slices with the axes as they are; where those are chosen, with the next coarsest first."""
    other = 0 if first else max((1, 2), key=lambda axis: spacing_mm[axis])
    how = "With the axes as they are" if first else f"With {AXES[other]} first"
    pixels = in_mm(spacing_mm[axis] for axis in range(3) if axis != other)
    return f"{how}, slices would lie {in_mm([spacing_mm[other]])} mm apart and have pixels of {pixels} mm."
