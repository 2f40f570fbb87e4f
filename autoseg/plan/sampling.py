"""The part of a plan that says how training patches are drawn."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from autoseg.frozen import Frozen


class Sampling(Frozen):
    """Patches and batches.

    Attributes:
        patch_size: voxels, one number an axis: (z, y, x), or (y, x) in a 2-D stage.
        batch_size: patches an iteration.
        foreground_fraction: share of a batch whose patch is centred on a voxel of a foreground
            label (or region).
        foreground: how that voxel is drawn. by_case, as nnU-Net: a case uniformly, then one of the
            labels it holds uniformly. by_label: a label uniformly among those that some training
            case holds, then one of the cases that hold it uniformly. Then one of the label's voxels.
    """

    patch_size: tuple[PositiveInt, ...] = Field(min_length=2, max_length=3)
    batch_size: int = Field(ge=1, le=2**20)
    foreground_fraction: float = Field(default=0.33, ge=0, le=1)
    foreground: Literal["by_case", "by_label"] = "by_case"
