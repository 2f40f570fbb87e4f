"""How much a network has to keep while it is trained, as numbers that compare networks."""

from __future__ import annotations

import math

from autoseg.planner.architecture import PLAIN, Architecture
from autoseg.planner.topology import Topology

FIRST_FEATURES = 32
FEATURE_CAP = {2: 512, 3: 320}  # by dimensions


def stage_features(topology: Topology, first: int = FIRST_FEATURES) -> tuple[int, ...]:
    """Channels of each stage: doubled from stage to stage, up to 512 in 2-D and 320 in 3-D.

    A narrower network (`first` below 32) is narrower everywhere, its cap included.

    >>> stage_features(Topology((64, 64), ((1, 1),) + ((2, 2),) * 5, ((3, 3),) * 6))
    (32, 64, 128, 256, 512, 512)
    >>> stage_features(Topology((64, 64), ((1, 1),) + ((2, 2),) * 5, ((3, 3),) * 6), first=8)
    (8, 16, 32, 64, 128, 128)
    """
    cap = feature_cap(len(topology.patch_size), first)
    return tuple(min(first * 2**depth, cap) for depth in range(len(topology.strides)))


def feature_cap(dimensions: int, first: int = FIRST_FEATURES) -> int:
    """The most channels of a stage, in a network that has so many at its first.

    >>> feature_cap(3), feature_cap(2, first=8)
    (320, 128)
    """
    return FEATURE_CAP[dimensions] * first // FIRST_FEATURES


def feature_map_voxels(
    topology: Topology, outputs: int, first: int = FIRST_FEATURES, architecture: Architecture = PLAIN
) -> int:
    """Channels × voxels over the outputs of all convolutions, for one patch.

    nnU-Net's stand-in for memory: convolutions and transposed convolutions count, the head at
    full resolution too; norms, activations and further heads do not. A residual block has two
    convolutions, and a third beside them where the features change their number or size, which is
    in the first block of every stage but the first; before the first stage comes one more.

    Args:
        topology: patch, strides and kernels.
        outputs: channels of the head.
        first: features of the first stage.
        architecture: plain or residual, and how deep its stages are.

    Source: nnU-Net v2 (Isensee et al. 2021, doi:10.1038/s41592-020-01008-z), whose figure for a plain network of
    128³ voxels is 452.8 million.

    >>> from autoseg.planner.architecture import RESIDUAL
    >>> cube = Topology((128,) * 3, ((1,) * 3,) + ((2,) * 3,) * 5, ((3,) * 3,) * 6)
    >>> round(feature_map_voxels(cube, outputs=3) / 1e6, 1)
    452.8
    >>> round(feature_map_voxels(cube, outputs=3, architecture=RESIDUAL) / 1e6, 1)
    557.4
    """
    features = stage_features(topology, first)
    counts = architecture.encoder_counts(len(features))
    size, maps = topology.patch_size, []
    for width, stride in zip(features, topology.strides, strict=True):
        size = tuple(n // by for n, by in zip(size, stride, strict=True))
        maps.append(width * math.prod(size))
    if architecture.kind == "plain_unet":
        encoder = sum(count * one for count, one in zip(counts, maps, strict=True))
    else:
        # The first stage has a convolution before its blocks, the others one beside their first block.
        encoder = sum((2 * count + 1) * one for count, one in zip(counts, maps, strict=True))
    decoder = sum((architecture.decoder + 1) * one for one in maps[:-1])
    return encoder + decoder + outputs * math.prod(topology.patch_size)


def weights(topology: Topology, first: int = FIRST_FEATURES, architecture: Architecture = PLAIN) -> int:
    """Weights of all convolutions but those at the image and at the heads, which depend on the dataset.

    Args:
        topology: strides and kernels; the patch is of no account.
        first: features of the first stage.
        architecture: plain or residual, and how deep its stages are.

    >>> 9 * 8 * 8 + 9 * 16 * (8 + 16) + 4 * 16 * 8 + 9 * 8 * (16 + 8)  # two levels down, and one up
    6272
    >>> weights(Topology((16, 16), ((1, 1), (2, 2)), ((3, 3), (3, 3))), first=8)
    6272
    """
    features = stage_features(topology, first)
    counts = architecture.encoder_counts(len(features))
    total = 0
    for stage, (width, kernel) in enumerate(zip(features, topology.kernels, strict=True)):
        convolutions = counts[stage] if architecture.kind == "plain_unet" else 2 * counts[stage]
        before = features[stage - 1] if stage else 0
        total += math.prod(kernel) * width * (before + width * (convolutions - 1))
        if stage and architecture.kind == "residual_encoder_unet":
            total += before * width  # beside the first block
    for stage in range(len(features) - 1):
        width, below = features[stage], features[stage + 1]
        total += math.prod(topology.strides[stage + 1]) * width * below
        total += math.prod(topology.kernels[stage]) * width * width * (architecture.decoder + 1)
    return total
