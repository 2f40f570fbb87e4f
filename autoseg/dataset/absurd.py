"""Voxels of a size that no scanner makes: nearly always a header in other units than millimetres.

Comes in: the voxel sizes of cases. Goes out: one sentence about all that are absurd.
"""

from __future__ import annotations

from collections.abc import Mapping

from autoseg.geometry import Spacing, in_mm

SMALLEST_MM, LARGEST_MM = 1e-3, 50.0


def absurd_sizes(spacings_mm: Mapping[str, Spacing]) -> str | None:
    """What is to be said of cases with absurd voxels; None where there are none.

    Args:
        spacings_mm: case → voxel size, mm.

    >>> absurd_sizes({"a": (0.0001, 0.0001, 0.0001), "b": (1.0, 1.0, 1.0)})
    "case 'a' has voxels of 0.0001 × 0.0001 × 0.0001 mm, which is no scanner's: is its header in other units?"
    """
    found = [name for name, sizes in spacings_mm.items() if min(sizes) < SMALLEST_MM or max(sizes) > LARGEST_MM]
    if not found:
        return None
    sizes = f"voxels of {in_mm(spacings_mm[found[0]])} mm"
    if len(found) == 1:
        return f"case '{found[0]}' has {sizes}, which is no scanner's: is its header in other units?"
    return (
        f"{len(found)} cases have voxels of sizes that no scanner makes, '{found[0]}' {sizes}: are their headers in "
        "other units?"
    )
