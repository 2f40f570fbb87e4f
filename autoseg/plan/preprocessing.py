"""The part of a plan that decides the arrays a network sees."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from autoseg.frozen import Frozen
from autoseg.geometry import COARSEST_MM, FINEST_MM

OPPOSITES = ({"R", "L"}, {"A", "P"}, {"I", "S"})  # of an orientation code, one letter of each
MOST_VOXELS = 2**15  # along an axis of a slice: more is a slip of the keyboard
MOST_MM = 10**4 * COARSEST_MM  # at a low resolution voxels are larger than those of any image


class ZScore(Frozen):
    """Subtract the image's mean, divide by its standard deviation.

    Attributes:
        inside_mask: take both over the non-zero region only, and leave the outside at 0.
    """

    kind: Literal["zscore"] = "zscore"
    inside_mask: bool = False


class CTWindow(Frozen):
    """Clip to [lower, upper], subtract the mean, divide by the deviation; all of the dataset's foreground."""

    kind: Literal["ct"] = "ct"
    lower: float
    upper: float
    mean: float
    std: float = Field(gt=0)

    @model_validator(mode="after")
    def _lower_is_lower(self) -> CTWindow:
        if self.lower > self.upper:
            raise ValueError(f"lower {self.lower:g} is above upper {self.upper:g}")
        return self


class RescaleToUnit(Frozen):
    """Map the image's own minimum and maximum to 0 and 1."""

    kind: Literal["rescale_0_1"] = "rescale_0_1"


class DivideBy255(Frozen):
    """Colour values 0…255 → 0…1."""

    kind: Literal["rgb"] = "rgb"


class NoNormalisation(Frozen):
    """Leave the intensities as they are."""

    kind: Literal["none"] = "none"


Normalisation = Annotated[
    ZScore | CTWindow | RescaleToUnit | DivideBy255 | NoNormalisation, Field(discriminator="kind")
]


VoxelSize = Annotated[tuple[Annotated[float, Field(ge=FINEST_MM, le=MOST_MM)], ...], Field(min_length=2, max_length=3)]
SliceVoxels = Annotated[int, Field(ge=1, le=MOST_VOXELS)]


class Preprocessing(Frozen):
    """Orientation, crop, order of axes, normalisation and resampling.

    Attributes:
        orientation: images are first turned, by exchanging and reversing axes, until the index of
            their first, second and third axis (x, y, z) grows towards these sides of the patient:
            "LPS" is left, posterior, superior, as in `CaseFacts.orientation`. Oblique axes count as
            the nearest straight one. None keeps the axes as each file has them. 2-D images are never
            turned, and an array that comes without a grid is taken to be turned already.
        crop_to_nonzero: cut away the border where every channel is 0.
        axis_order: which axis of the turned image, (z, y, x), becomes axis 0, 1, 2 of the array.
        spacing_mm: voxel size after resampling, mm, in the array's axis order. Two numbers, for
            a 2-D stage, are those of the slice; slices keep the distance they have. None where `resize_to` is given.
        resize_to: voxels (y, x), in the array's axis order, that every slice of a 2-D stage is resampled to, whatever
            its size in voxels or mm; in place of `spacing_mm`.
        normalisation: one a channel.
        image_order: spline order images are resampled with, 0…5.
        coarse_axis_order: spline order along an axis more than 3 times coarser than the others.
        label_order: 1 interpolates each class linearly and takes the largest, 0 takes the nearest voxel.
    """

    orientation: str | None = None
    crop_to_nonzero: bool = True
    axis_order: tuple[int, int, int] = (0, 1, 2)
    spacing_mm: VoxelSize | None = None
    resize_to: tuple[SliceVoxels, SliceVoxels] | None = None
    normalisation: tuple[Normalisation, ...] = Field(min_length=1)
    image_order: int = Field(default=3, ge=0, le=5)
    coarse_axis_order: int = Field(default=0, ge=0, le=5)
    label_order: Literal[0, 1] = 1

    @field_validator("orientation")
    @classmethod
    def _each_pair_once(cls, code: str | None) -> str | None:
        if code is not None and (len(code) != 3 or any(len(pair & set(code)) != 1 for pair in OPPOSITES)):
            raise ValueError(
                f"'{code}' is no orientation. Name one of L and R, one of A and P, one of I and S, in the order of "
                "the file's axes x, y, z, as in 'LPS'; or null, to keep each image's axes as they are"
            )
        return code

    @model_validator(mode="after")
    def _each_axis_once(self) -> Preprocessing:
        if sorted(self.axis_order) != [0, 1, 2]:
            raise ValueError(f"axis_order must name each of the axes 0, 1, 2 once, not {self.axis_order}")
        return self

    @model_validator(mode="after")
    def _one_size(self) -> Preprocessing:
        if self.spacing_mm is None and self.resize_to is None:
            raise ValueError(
                "neither spacing_mm nor resize_to is set: give spacing_mm, the voxel size in mm, or for single slices "
                "resize_to, their shape in voxels"
            )
        if self.spacing_mm is not None and self.resize_to is not None:
            raise ValueError(
                f"resize_to {list(self.resize_to)} gives every slice one shape, and spacing_mm {list(self.spacing_mm)} "
                "one voxel size; set one of the two to null"
            )
        return self
