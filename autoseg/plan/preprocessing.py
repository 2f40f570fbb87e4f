"""The part of a plan that decides the arrays a network sees."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, model_validator

from autoseg.frozen import Frozen


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


class Preprocessing(Frozen):
    """Crop, order of axes, normalisation and resampling.

    Attributes:
        crop_to_nonzero: cut away the border where every channel is 0.
        axis_order: which axis of the image becomes axis 0, 1, 2 of the array.
        spacing_mm: voxel size after resampling, mm, in the array's axis order. Two numbers, for
            a 2-D stage, are those of the slice; slices keep the distance they have.
        normalisation: one a channel.
        image_order: spline order images are resampled with, 0…5.
        coarse_axis_order: spline order along an axis more than 3 times coarser than the others.
    """

    crop_to_nonzero: bool = True
    axis_order: tuple[int, int, int] = (0, 1, 2)
    spacing_mm: tuple[PositiveFloat, ...] = Field(min_length=2, max_length=3)
    normalisation: tuple[Normalisation, ...]
    image_order: int = Field(default=3, ge=0, le=5)
    coarse_axis_order: int = Field(default=0, ge=0, le=5)

    @model_validator(mode="after")
    def _each_axis_once(self) -> Preprocessing:
        if sorted(self.axis_order) != [0, 1, 2]:
            raise ValueError(f"axis_order must name each of the axes 0, 1, 2 once, not {self.axis_order}")
        return self
