"""The part of a plan that says how training patches are varied, in order.

A probability is a sample's chance that the transform touches it; `channel_probability` is then
each channel's. Ranges are uniform unless the field says otherwise.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from autoseg.frozen import Frozen

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
    """Gaussian blur of a drawn width, in voxels."""

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


Transform = Annotated[
    Spatial | Noise | Blur | Brightness | Contrast | LowResolution | Gamma | Mirror, Field(discriminator="kind")
]
