"""How much a network has to keep while it is trained, as a number that compares networks."""

from __future__ import annotations

import math

from autoseg.planner.topology import CONVOLUTIONS, Topology

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
    cap = FEATURE_CAP[len(topology.patch_size)] * first // FIRST_FEATURES
    return tuple(min(first * 2**depth, cap) for depth in range(len(topology.strides)))


def feature_map_voxels(topology: Topology, outputs: int, first: int = FIRST_FEATURES) -> int:
    """Channels × voxels over the outputs of all convolutions, for one patch.

    nnU-Net's stand-in for memory: convolutions and transposed convolutions count, the head at
    full resolution too; norms, activations and further heads do not.

    Args:
        topology: patch, strides and kernels.
        outputs: channels of the head.
        first: features of the first stage.

    >>> cube = Topology((128,) * 3, ((1,) * 3,) + ((2,) * 3,) * 5, ((3,) * 3,) * 6)
    >>> round(feature_map_voxels(cube, outputs=3) / 1e6, 1)
    452.8
    """
    features = stage_features(topology, first)
    size = topology.patch_size
    sizes = []
    for stride in topology.strides:
        size = tuple(n // by for n, by in zip(size, stride, strict=True))
        sizes.append(math.prod(size))
    encoder = sum(CONVOLUTIONS * width * voxels for width, voxels in zip(features, sizes, strict=True))
    decoder = sum((CONVOLUTIONS + 1) * width * voxels for width, voxels in zip(features[:-1], sizes[:-1], strict=True))
    return encoder + decoder + outputs * sizes[0]
