"""How a prepared array is divided on disk, so that a training patch is read quickly.

Comes in: the array's shape, the patch size. Goes out: the shape of chunks, the units that are
stored, and of the blocks in them, the units that are decompressed.
"""

from __future__ import annotations

import math

from autoseg.geometry import Shape

CHUNK_BYTES = 6 * 2**20  # about a core's share of the last cache
BLOCK_BYTES = 128 * 2**10  # about a first cache: decompressed and copied before it is pushed out


def chunk_and_block(shape: Shape, patch_size: Shape, itemsize: int) -> tuple[Shape, Shape]:
    """A chunk is the patch, halved along its longest axis until it is small enough; so is a block.

    Where patches are slices, a chunk holds as many slices as it can, and a block lies in one: writing a chunk
    waits for the disk, reading a block does not read the rest of its chunk.

    Args:
        shape: (channels, z, y, x).
        patch_size: voxels, (z, y, x), or (y, x) where patches are slices.
        itemsize: bytes a voxel.

    >>> chunk_and_block((1, 300, 512, 512), (128, 128, 128), 4)
    ((1, 64, 128, 128), (1, 32, 32, 32))
    >>> chunk_and_block((2, 20, 512, 512), (256, 224), 4)
    ((1, 20, 256, 224), (1, 1, 128, 224))
    """
    patch = (1,) * (len(shape) - len(patch_size)) + tuple(patch_size)
    most = CHUNK_BYTES // itemsize
    unit = _halved(tuple(min(size, wanted) for size, wanted in zip(shape, patch, strict=True)), most)
    slices = min(shape[1], max(1, most // math.prod(unit))) if len(patch_size) == 2 else unit[1]
    return (unit[0], slices, *unit[2:]), _halved(unit, BLOCK_BYTES // itemsize)


def _halved(shape: Shape, limit: int) -> Shape:
    sizes = list(shape)
    while math.prod(sizes) > limit:
        longest = sizes.index(max(sizes))
        sizes[longest] = -(-sizes[longest] // 2)
    return tuple(sizes)
