"""The part of a plan that says how training patches are drawn."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from autoseg.frozen import Frozen

MOST_OF_A_BATCH = 2**40  # voxels: no machine has the memory for them
Voxels = Annotated[int, Field(gt=0, le=2**20)]


class SlidingGrid(Frozen):
    """Patches are windows of a grid over the image.

    The first window begins with the image. One that reaches over the far border is filled up with 0, as it is where
    the image is smaller than the patch.

    Attributes:
        overlap: fraction of the patch that neighbouring windows share, per axis, 0…0.9.
        inside: a window that reaches over the far border is kept if more than this fraction of it lies inside the
            image,
        along: "all" axes, or "any" of them.
        likelier: label or region → how many times as likely a window is that holds a voxel of it, compared with one
            that holds none that are named; where it holds several, the largest number counts.

    Source: "UNet-based Segmentation of Kidney and Kidney Tumour in 3D Computed Tomography images", on KiTS19, 2.3.1.
    """

    overlap: float = Field(default=0.25, ge=0, le=0.9)
    inside: float = Field(default=0.5, ge=0, lt=1)
    along: Literal["all", "any"] = "all"
    likelier: dict[str, Annotated[float, Field(gt=0, le=1e6)]] = {}


class Sampling(Frozen):
    """Patches and batches.

    Attributes:
        patch_size: voxels, one number an axis: (z, y, x), or (y, x) in a 2-D stage.
        batch_size: patches an iteration.
        foreground_fraction: share of a batch whose patches are placed by foreground labels (or regions), as
            `foreground` says; the others lie anywhere.
        foreground: how they are placed. "by_case", as nnU-Net: a case is drawn uniformly, then one of the labels it
            holds uniformly. "by_label": a label uniformly among those that some training case holds, then one of the
            cases that hold it uniformly. In both the patch is centred on one of the label's voxels. "by_slice": a
            case uniformly, then one of its slices that hold a label uniformly; it is the patch's middle slice, and
            the patch lies anywhere within it.
        grid: the windows that patches are drawn from, and how likely each is; None lets them begin at any voxel.
            With a grid the foreground fraction must be 0.
    """

    patch_size: tuple[Voxels, ...] = Field(min_length=2, max_length=3)
    batch_size: int = Field(ge=1, le=2**20)
    foreground_fraction: float = Field(default=0.33, ge=0, le=1)
    foreground: Literal["by_case", "by_label", "by_slice"] = "by_case"
    grid: SlidingGrid | None = None

    @model_validator(mode="after")
    def _fits_some_machine(self) -> Sampling:
        if self.batch_size * math.prod(self.patch_size) > MOST_OF_A_BATCH:
            raise ValueError(
                f"a batch of {self.batch_size} patches of {list(self.patch_size)} voxels fits no machine; give a "
                "smaller patch_size or batch_size"
            )
        return self

    @model_validator(mode="after")
    def _centred_or_in_a_grid(self) -> Sampling:
        if self.grid is not None and self.foreground_fraction > 0:
            raise ValueError(
                f"foreground_fraction {self.foreground_fraction:g}: windows of a grid are not centred on foreground; "
                "set it to 0, and say in grid.likelier which are to be drawn more often"
            )
        return self
