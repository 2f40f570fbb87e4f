"""The part of a plan that says how training patches are varied, in order.

A probability is a sample's chance that the transform touches it; `channel_probability` is then
each channel's, `label_probability` each label's. Ranges are uniform unless the field says otherwise.

Transforms are applied in the order of their list, and that order follows from where they are applied:
first what batchgenerators does, in the processes that load patches; then `Spatial`, then the rest, on
the device. `Copies` comes first of all.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from autoseg.frozen import Frozen
from autoseg.plan.batchgenerators_table import Argument, TransformName, check_arguments, plain_arguments

Probability = Annotated[float, Field(ge=0, le=1)]


class Range(Frozen):
    """Numbers from `low` to `high`."""

    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.low > self.high:
            raise ValueError(f"low {self.low} lies above high {self.high}")
        return self


class Spatial(Frozen):
    """Rotation and scaling, image and labels alike.

    Attributes:
        rotation_degrees: range of the angle about each axis (z, y, x); in 2-D only the first is used.
        scale: range of the factor objects grow by, the same along all axes.
        in_plane: rotate and scale only within slices (patches much coarser along the first axis).
    """

    kind: Literal["spatial"] = "spatial"
    rotation_probability: Probability = 0.2
    rotation_degrees: tuple[Range, ...] = Field(min_length=1, max_length=3)
    scale_probability: Probability = 0.2
    scale: Range = Range(low=0.7, high=1.4)
    in_plane: bool = False


class Noise(Frozen):
    """Adds Gaussian noise of a drawn standard deviation."""

    kind: Literal["noise"] = "noise"
    probability: Probability = 0.1
    std: Range = Range(low=0.0, high=0.1)


class Blur(Frozen):
    """Gaussian blur, of a width in voxels that is drawn for each axis."""

    kind: Literal["blur"] = "blur"
    probability: Probability = 0.2
    channel_probability: Probability = 0.5
    sigma: Range = Range(low=0.5, high=1.0)


class Brightness(Frozen):
    """Multiplies by a drawn factor; half of the draws lie below 1."""

    kind: Literal["brightness"] = "brightness"
    probability: Probability = 0.15
    factor: Range = Range(low=0.75, high=1.25)


class Contrast(Frozen):
    """Scales about the channel's mean, within the range the channel had; half of the draws lie below 1."""

    kind: Literal["contrast"] = "contrast"
    probability: Probability = 0.15
    factor: Range = Range(low=0.75, high=1.25)


class LowResolution(Frozen):
    """Samples down by a drawn zoom (nearest) and back up (linear)."""

    kind: Literal["low_resolution"] = "low_resolution"
    probability: Probability = 0.25
    channel_probability: Probability = 0.5
    zoom: Range = Range(low=0.5, high=1.0)
    in_plane: bool = False


class Gamma(Frozen):
    """Raises intensities, rescaled to 0…1, to a drawn power; mean and deviation are kept.

    Attributes:
        inverted: do so with the image's sign turned.
    """

    kind: Literal["gamma"] = "gamma"
    probability: Probability = 0.3
    power: Range = Range(low=0.7, high=1.5)
    inverted: bool = False


class Mirror(Frozen):
    """Flips along each of the axes with probability ½."""

    kind: Literal["mirror"] = "mirror"
    axes: tuple[int, ...]


class ZeroOutside(Frozen):
    """Gives the surroundings of the object, 0 after normalisation inside its mask, their 0 back.

    Attributes:
        channels: those that were normalised inside the mask.
    """

    kind: Literal["zero_outside"] = "zero_outside"
    channels: tuple[int, ...] = Field(min_length=1)


class PreviousBinary(Frozen):
    """Dilates, erodes, opens or closes labels that a previous stage predicted, each as likely as the other.

    Attributes:
        radius: of the ball it is done with, voxels.
    """

    kind: Literal["previous_binary"] = "previous_binary"
    probability: Probability = 0.4
    label_probability: Probability = 0.5
    radius: Range = Range(low=1, high=8)

    @model_validator(mode="after")
    def _small(self) -> PreviousBinary:
        if self.radius.low < 0 or self.radius.high > 10:
            raise ValueError(f"radius {self.radius.low:g} to {self.radius.high:g}: it lies between 0 and 10 voxels")
        return self


class PreviousComponents(Frozen):
    """Drops one connected component of a label that a previous stage predicted.

    Attributes:
        largest_share: of the patch's voxels; a component that fills as much is kept.
    """

    kind: Literal["previous_components"] = "previous_components"
    probability: Probability = 0.2
    label_probability: Probability = 0.5
    largest_share: Probability = 0.15


class Batchgenerators(Frozen):
    """A transform of the package batchgenerators, applied where patches are loaded.

    Attributes:
        name: of the transform; `plan/batchgenerators_table.py` says which class it is.
        arguments: of the class, by name: numbers, true, false, and lists of these. `p_per_sample` is the
            probability where a class has one; what is left out has batchgenerators' default.
    """

    kind: Literal["batchgenerators"] = "batchgenerators"
    name: TransformName
    arguments: dict[str, Argument] = {}

    @field_validator("arguments", mode="before")
    @classmethod
    def _plain(cls, arguments: Any) -> Any:
        return plain_arguments(arguments)

    @model_validator(mode="after")
    def _known(self) -> Batchgenerators:
        check_arguments(self.name, self.arguments)
        return self


_Variations = (
    Spatial
    | Noise
    | Blur
    | Brightness
    | Contrast
    | LowResolution
    | Gamma
    | Mirror
    | ZeroOutside
    | PreviousBinary
    | PreviousComponents
    | Batchgenerators
)
Variation = Annotated[_Variations, Field(discriminator="kind")]


class Copies(Frozen):
    """Puts every patch into the batch as it is, and beside it copies that are each varied in another way.

    Attributes:
        count: copies of a patch; the batch size is a multiple of 1 + count.
        ways: lists of transforms; a copy takes one of them, and no two copies of a patch take the same.

    Source: "UNet-based Segmentation of Kidney and Kidney Tumour in 3D Computed Tomography images", on KiTS19.
    """

    kind: Literal["copies"] = "copies"
    count: int = Field(ge=1)
    ways: tuple[tuple[Variation, ...], ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _enough_ways(self) -> Copies:
        if self.count > len(self.ways):
            raise ValueError(f"{self.count} copies need as many ways to vary them, and there are {len(self.ways)}")
        return self


Transform = Annotated[_Variations | Copies, Field(discriminator="kind")]
