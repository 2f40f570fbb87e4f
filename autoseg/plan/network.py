"""The part of a plan that says which network to build."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from autoseg.frozen import Frozen

Axes = tuple[PositiveInt, ...]  # one number an axis, (z, y, x) or (y, x)
Features = Annotated[int, Field(gt=0, le=2**16)]


class _UNet(Frozen):
    """What all U-Nets share; their own fields follow these."""

    kind: str
    features: tuple[Features, ...] = Field(min_length=2)
    kernels: tuple[Axes, ...]
    strides: tuple[Axes, ...]

    @model_validator(mode="after")
    def _same_depth(self) -> Self:
        depth = len(self.features)
        for name, value in self:
            expected = depth - 1 if name == "decoder_convolutions" else depth
            if isinstance(value, tuple) and len(value) != expected:
                entries = f"{len(value)} entr{'y' if len(value) == 1 else 'ies'}"
                raise ValueError(f"{name} has {entries}; with {depth} levels, as many as features, it needs {expected}")
        return self

    @model_validator(mode="after")
    def _axes_fit(self) -> Self:
        if any(stride != 1 for stride in self.strides[0]):
            raise ValueError(f"the first stage's stride must be all ones, not {self.strides[0]}")
        axes = sorted({len(axes) for axes in (*self.kernels, *self.strides)})
        if len(axes) > 1:
            raise ValueError(f"kernels and strides have {' and '.join(map(str, axes))} axes; all need the same number")
        even = [size for kernel in self.kernels for size in kernel if size % 2 == 0]
        if even:
            raise ValueError(f"kernels must be odd, so that the output is as large as the input, not {even[0]}")
        return self

    @property
    def divisor(self) -> Axes:
        """By what each axis of a patch must be divisible: the product of the strides."""
        return tuple(math.prod(along) for along in zip(*self.strides, strict=True))


class PlainUNet(_UNet):
    """A U-Net of convolution, instance norm, leaky ReLU.

    Stages run from full resolution (first) to the bottleneck (last). The first convolution of a
    stage has the stage's stride; the decoder mirrors the encoder with transposed convolutions.

    Attributes:
        features: channels, one number a stage.
        kernels: kernel size a stage, one odd number an axis.
        strides: stride a stage, one number an axis; the first is all ones.
        encoder_convolutions: convolutions in each encoder stage.
        decoder_convolutions: convolutions in each decoder stage, one stage fewer than the encoder.
        deep_supervision: a segmentation head at every decoder stage while training.
    """

    kind: Literal["plain_unet"] = "plain_unet"
    encoder_convolutions: tuple[PositiveInt, ...]
    decoder_convolutions: tuple[PositiveInt, ...]
    deep_supervision: bool = True


class ResidualEncoderUNet(_UNet):
    """A U-Net whose encoder adds to its features rather than replacing them.

    Like `PlainUNet`, but that one convolution comes before the first stage, and that each encoder
    stage is a row of residual blocks of two convolutions; the first block has the stage's stride.

    Attributes:
        features: channels, one number a stage.
        kernels: kernel size a stage, one odd number an axis.
        strides: stride a stage, one number an axis; the first is all ones.
        encoder_blocks: residual blocks in each encoder stage.
        decoder_convolutions: convolutions in each decoder stage, one stage fewer than the encoder.
        deep_supervision: a segmentation head at every decoder stage while training.
    """

    kind: Literal["residual_encoder_unet"] = "residual_encoder_unet"
    encoder_blocks: tuple[PositiveInt, ...]
    decoder_convolutions: tuple[PositiveInt, ...]
    deep_supervision: bool = True


Network = Annotated[PlainUNet | ResidualEncoderUNet, Field(discriminator="kind")]
