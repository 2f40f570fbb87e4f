"""Is an image so much larger than a patch that a network at a lower resolution would pay?"""

from __future__ import annotations

import math
from collections.abc import Sequence

from autoseg.geometry import Spacing
from autoseg.planner.memory import fit_patch

SMALLEST_SHARE = 0.25  # of the median image, that a patch should see
COARSENING = 1.03
LEAST_GAIN = 2.0  # times fewer voxels, or a low resolution is not worth a network


def low_resolution_pays(
    spacing_mm: Spacing, median_shape: Sequence[float], patch_size: Sequence[int], outputs: int, memory_gb: float
) -> bool:
    """Whether nnU-Net would plan 3d_lowres beside 3d_fullres.

    Voxels are enlarged step by step until a patch sees a quarter of the median image, axes less
    than half as coarse as the coarsest first. It pays if that leaves at most half of the voxels.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, Methods.
    """
    spacing, seen = list(spacing_mm), math.prod(patch_size)
    image = voxels = math.prod(median_shape)
    while seen / voxels < SMALLEST_SHARE and image / voxels < LEAST_GAIN:
        fine = [max(spacing) / s > 2 for s in spacing]
        spacing = [s * COARSENING if is_fine or not any(fine) else s for s, is_fine in zip(spacing, fine, strict=True)]
        shape = [full / low * n for full, low, n in zip(spacing_mm, spacing, median_shape, strict=True)]
        voxels = math.prod(shape)
        smaller = fit_patch(tuple(spacing), [round(n) for n in shape], outputs, memory_gb).value
        seen = math.prod(smaller.patch_size)
    return image / voxels >= LEAST_GAIN
