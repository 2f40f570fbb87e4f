"""The voxel size every case is resampled to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoseg.geometry import Shape, Spacing, in_mm, resampled_shape
from autoseg.phrases import counted
from autoseg.planner.decided import Decided

ANISOTROPY = 3.0  # an axis this many times coarser (or shorter) than the others is treated apart
AXES = ("z", "y", "x")


def target_spacing(spacings_mm: Sequence[Spacing], shapes: Sequence[Shape], flat: bool = False) -> Decided[Spacing]:
    """Voxel size every case is resampled to.

    The median over cases. Where one axis is both coarse and short its median would erase detail
    that some cases have: there, the 10th percentile, never finer than the other axes.

    Args:
        spacings_mm: per case, mm, (z, y, x).
        shapes: per case, voxels after cropping, (z, y, x).
        flat: the images are 2-D; then z means nothing and the median is all there is.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, Methods.

    >>> target_spacing([(5, 1, 1), (10, 1, 1), (10, 1, 1)], [(12, 256, 256)] * 3).value
    (6.0, 1.0, 1.0)
    """
    spacing = np.percentile(spacings_mm, 50, axis=0)
    shape = np.percentile(shapes, 50, axis=0)
    median = tuple(float(s) for s in spacing)
    coarsest = int(np.argmax(spacing))
    finer, longer = np.delete(spacing, coarsest), np.delete(shape, coarsest)
    facts = {
        "cases": len(spacings_mm),
        "median_spacing_mm": median,
        "median_shape": tuple(float(n) for n in shape),
    }
    measured = f"The median voxel of the {counted(len(spacings_mm), 'case')} measures {in_mm(median)} mm."
    coarse = spacing[coarsest] > ANISOTROPY * finer.max()
    short = shape[coarsest] * ANISOTROPY < longer.min()
    tenth = float(np.percentile(spacings_mm, 10, axis=0)[coarsest])
    if flat or not (coarse and short):
        keep = " No axis is both over 3 times coarser and over 3 times shorter than the others, so all keep the median."
        why = "" if flat else keep
        return Decided(median, "target_spacing", facts, f"{measured}{why}", "" if flat else _finer(median, tenth))

    # Just above the others, so that this axis stays the coarsest one.
    spacing[coarsest] = tenth if tenth >= finer.max() else finer.max() + 1e-5
    value = tuple(float(s) for s in spacing)
    reason = (
        f"{measured} Axis {AXES[coarsest]} is more than 3 times coarser than the others and short "
        f"({shape[coarsest]:.0f} voxels): it gets {in_mm([value[coarsest]])} mm instead, so that the detail of the "
        "finest tenth of the cases is kept."
    )
    alternative = f"By the median alone axis {AXES[coarsest]} would get {in_mm([median[coarsest]])} mm."
    return Decided(value, "target_spacing", {**facts, "tenth_percentile_mm": tenth}, reason, alternative)


def _finer(median_mm: Spacing, tenth_mm: float) -> str:
    """What the coarsest axis would get if it were treated as a coarse and short one."""
    axis = int(np.argmax(median_mm))
    finest = max(tenth_mm, *(size for other, size in enumerate(median_mm) if other != axis))
    if (shown := in_mm([finest])) == in_mm([median_mm[axis]]):
        return ""
    return f"By the finest tenth of the cases, as for coarse and short axes, axis {AXES[axis]} would get {shown} mm."


def median_resampled_shape(
    spacings_mm: Sequence[Spacing], shapes: Sequence[Shape], target_mm: Spacing
) -> tuple[float, ...]:
    """Median over cases of their shape after resampling, per axis; halves occur.

    >>> median_resampled_shape([(2.0, 1.0, 1.0), (4.0, 1.0, 1.0)], [(10, 64, 64), (10, 65, 64)], (1.0, 1.0, 1.0))
    (30.0, 64.5, 64.0)
    """
    resampled = [resampled_shape(shape, spacing, target_mm) for spacing, shape in zip(spacings_mm, shapes, strict=True)]
    return tuple(float(size) for size in np.median(resampled, axis=0))
