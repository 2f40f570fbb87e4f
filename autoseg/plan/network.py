"""The part of a plan that says which network to build."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from autoseg.frozen import Frozen

Few = Annotated[int, Field(gt=0, le=512)]  # of what no network has more: voxels of a kernel, blocks, groups
Axes = tuple[Few, ...]  # one number an axis, (z, y, x) or (y, x)
Features = Annotated[int, Field(gt=0, le=2**16)]

_OF_DECODER = ("decoder_convolutions", "decoder_blocks")  # fields with one entry a stage of the decoder


def divisor_of(strides: Iterable[Axes]) -> Axes:
    """By what each axis of a patch must be divisible for a network of these strides, one an axis for each stage.

    >>> divisor_of([(1, 1, 1), (1, 2, 2), (2, 2, 2)])
    (2, 4, 4)
    """
    return tuple(math.prod(along) for along in zip(*strides, strict=True))


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
            expected = depth - 1 if name in _OF_DECODER else depth
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
        """By what each axis of a patch must be divisible."""
        return divisor_of(self.strides)


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
    encoder_convolutions: tuple[Few, ...]
    decoder_convolutions: tuple[Few, ...]
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
    encoder_blocks: tuple[Few, ...]
    decoder_convolutions: tuple[Few, ...]
    deep_supervision: bool = True


class InstanceNorm(Frozen):
    """Each channel of each sample has mean 0 and variance 1 (arXiv:1607.08022)."""

    kind: Literal["instance"] = "instance"


class BatchNorm(Frozen):
    """Each channel of a batch has mean 0 and variance 1 (arXiv:1502.03167); predictions use running statistics.

    Attributes:
        momentum: what the newest batch counts in the running statistics.
    """

    kind: Literal["batch"] = "batch"
    momentum: float = Field(default=0.1, gt=0, le=1)


class NoNorm(Frozen):
    """Features stay as convolutions leave them."""

    kind: Literal["none"] = "none"


Norm = Annotated[InstanceNorm | BatchNorm | NoNorm, Field(discriminator="kind")]
Activation = Literal["leaky_relu", "relu", "prelu"]
Block = Literal["plain", "residual", "pre_activation"]


class BlockUNet(_UNet):
    """A U-Net whose parts are chosen one by one.

    A stage is a row of blocks. A "plain" block is a convolution, a norm, an activation. A "residual" block is two
    convolutions whose result is added to what came in, before the last activation (doi:10.1109/CVPR.2016.90); what
    came in is brought to the stage's resolution and features by a strided 1 × 1 convolution and a norm. In a
    "pre_activation" block norm and activation come before each convolution, and nothing comes after the sum
    (doi:10.1007/978-3-319-46493-0_38).

    Attributes:
        features: channels, one number a stage.
        kernels: kernel size a stage, one odd number an axis.
        strides: stride a stage, one number an axis; the first is all ones.
        encoder_blocks: blocks in each encoder stage.
        decoder_blocks: blocks in each decoder stage, one stage fewer than the encoder.
        encoder_block: their kind. Where it is not plain, a convolution, a norm and an activation come before the
            first stage.
        decoder_block: their kind.
        norm: after convolutions, or before them where activations are.
        activation: leaky_relu has the slope 0.01 below 0, prelu a learnt one a channel (doi:10.1109/ICCV.2015.123).
        activation_first: in plain blocks the activation comes before the norm, not after it.
        dropout: probability that a channel is left out while training, after each activation of a plain block and
            between the convolutions of the others (doi:10.1109/CVPR.2015.7298664).
        downsampling: "strided", by the first convolution of a stage, or "max_pool".
        upsampling: "transposed", a convolution that also halves features; or "interpolated", bilinear or trilinear,
            which keeps them (align_corners is false).
        attention_gates: what the encoder hands over is weighted voxel by voxel, by what the decoder found one level
            below (arXiv:1804.03999).
        squeeze_excitation: each block weighs its channels by a small network of their means, whose hidden layer has
            this many times fewer features (doi:10.1109/CVPR.2018.00745); None for no such weights. It belongs to
            batch norm: what instance norm leaves has the same mean in every image.
        deep_supervision: a segmentation head at every decoder stage while training.
    """

    kind: Literal["block_unet"] = "block_unet"
    encoder_blocks: tuple[Few, ...]
    decoder_blocks: tuple[Few, ...]
    encoder_block: Block = "residual"
    decoder_block: Block = "plain"
    norm: Norm = InstanceNorm()
    activation: Activation = "leaky_relu"
    activation_first: bool = False
    dropout: float = Field(default=0.0, ge=0, lt=1)
    downsampling: Literal["strided", "max_pool"] = "strided"
    upsampling: Literal["transposed", "interpolated"] = "transposed"
    attention_gates: bool = False
    squeeze_excitation: Few | None = None
    deep_supervision: bool = False


class VNet(_UNet):
    """The V-Net: each stage is a row of convolutions whose result is added to what came in.

    Between stages, convolutions as large as the stride bring features down and, transposed, up. A decoder stage has
    twice the features of the encoder's at its level: those that come up, and those that are handed over. In the
    published network the features are 16 to 256, the kernels 5, the convolutions 1, 2, 3, 3, 3 and, from the
    bottom up, 3, 3, 2, 1; it has no norm.

    Attributes:
        features: channels, one number a stage.
        kernels: kernel size a stage, one odd number an axis.
        strides: stride a stage, one number an axis; the first is all ones.
        encoder_convolutions: convolutions in each encoder stage.
        decoder_convolutions: convolutions in each decoder stage, one stage fewer than the encoder.
        norm: after convolutions.
        activation: prelu in the published network.
        deep_supervision: a segmentation head at every decoder stage while training.

    Source: Milletari et al. 2016, doi:10.1109/3DV.2016.79.
    """

    kind: Literal["v_net"] = "v_net"
    encoder_convolutions: tuple[Few, ...]
    decoder_convolutions: tuple[Few, ...]
    norm: Norm = NoNorm()
    activation: Activation = "prelu"
    deep_supervision: bool = False


class _ClassifierVNet(Frozen):
    """What networks share whose encoder was made to classify photographs; their own fields follow these.

    The encoder halves the resolution five times, the first time in its first convolution, so that the decoder's last
    stage, at full resolution, is handed nothing over.
    """

    kind: str
    dimensions: Literal[2, 3] = 3
    blocks: tuple[Few, ...] = Field(min_length=4, max_length=4)
    decoder_features: tuple[Features, ...] = Field(default=(256, 128, 64, 32, 16), min_length=5, max_length=5)
    decoder_convolutions: tuple[Few, ...] = Field(default=(3, 3, 2, 1, 1), min_length=5, max_length=5)
    norm: Norm = BatchNorm()
    deep_supervision: bool = False

    @property
    @abstractmethod
    def encoder_features(self) -> tuple[int, ...]:
        """Channels at ½, ¼, … ⅟₃₂ of the resolution."""

    @property
    def features(self) -> tuple[int, ...]:
        """Channels of each level, those of the decoder at full resolution."""
        return (self.decoder_features[-1], *self.encoder_features)

    @property
    def strides(self) -> tuple[Axes, ...]:
        """Stride of each level."""
        return ((1,) * self.dimensions, *[(2,) * self.dimensions] * 5)

    @property
    def kernels(self) -> tuple[Axes, ...]:
        """Kernel size of each level, but for the first convolution, of 7."""
        return ((3,) * self.dimensions,) * 6

    @property
    def divisor(self) -> Axes:
        """By what each axis of a patch must be divisible."""
        return (32,) * self.dimensions


class DenseVNet(_ClassifierVNet):
    """A DenseNet that goes down, and the decoder of a V-Net; a DenseNet-169 where no field says otherwise.

    Each layer of a DenseNet sees the features of all layers before it in its block.

    Attributes:
        dimensions: 3, or 2 as in the publication.
        blocks: layers in each of the four dense blocks.
        growth: features that a layer adds.
        decoder_features: channels of the decoder's stages, from the bottom up.
        decoder_convolutions: convolutions in each of them; their result is added to what came up.
        norm: of the whole network.
        deep_supervision: a segmentation head at every decoder stage while training.

    Source: Huang et al. 2017, doi:10.1109/CVPR.2017.243; Milletari et al. 2016, doi:10.1109/3DV.2016.79.

    >>> DenseVNet().features
    (16, 64, 256, 512, 1280, 1664)
    """

    kind: Literal["dense_v_net"] = "dense_v_net"
    blocks: tuple[Few, ...] = Field(default=(6, 12, 32, 32), min_length=4, max_length=4)
    growth: Few = 32

    @property
    def encoder_features(self) -> tuple[int, ...]:
        """Channels at ½, ¼, … ⅟₃₂ of the resolution: a block adds to what it gets, then half of it goes on."""
        features, found = 2 * self.growth, [2 * self.growth]
        for layers in self.blocks:
            found.append(features + layers * self.growth)
            features = found[-1] // 2
        return tuple(found)


class SEResNeXtVNet(_ClassifierVNet):
    """A ResNeXt that weighs its channels, and the decoder of a V-Net; an SE-ResNeXt-101 32×4d by default.

    Attributes:
        dimensions: 3, or 2 as in the publication.
        blocks: residual blocks at each of four resolutions.
        groups: that the features of a block's middle convolution are divided in,
        group_width: and how many each has at the finest resolution.
        squeeze_excitation: how many times fewer features the weighting of channels has inside.
        decoder_features: channels of the decoder's stages, from the bottom up.
        decoder_convolutions: convolutions in each of them; their result is added to what came up.
        norm: of the whole network.
        deep_supervision: a segmentation head at every decoder stage while training.

    Source: Xie et al. 2017, doi:10.1109/CVPR.2017.634; Hu et al. 2018, doi:10.1109/CVPR.2018.00745.
    """

    kind: Literal["se_resnext_v_net"] = "se_resnext_v_net"
    blocks: tuple[Few, ...] = Field(default=(3, 4, 23, 3), min_length=4, max_length=4)
    groups: Few = 32
    group_width: Few = 4
    squeeze_excitation: Few = 16

    @property
    def encoder_features(self) -> tuple[int, ...]:
        """Channels at ½, ¼, … ⅟₃₂ of the resolution: a block widens its middle twofold."""
        width = self.groups * self.group_width
        return (64, *(2 * width * 2**level for level in range(4)))


Network = Annotated[
    PlainUNet | ResidualEncoderUNet | BlockUNet | VNet | DenseVNet | SEResNeXtVNet, Field(discriminator="kind")
]
