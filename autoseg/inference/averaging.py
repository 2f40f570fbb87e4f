"""The mean of what several models say of an image, and the label map it decides.

Comes in: probabilities of each model, all on the image's own grid, in memory or in files. Goes out: a label map, some
slices after the other, so that the memory needed does not grow with the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import torch
from numpy.typing import NDArray

from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.files import atomic_path
from autoseg.inference.mapped import release
from autoseg.preprocessing.deciding import decide

EVEN = 0.5  # the probability at which a region is as likely as not
SLAB_VALUES = 2**24  # of one model that are looked at together
STORED = {"codec": blosc2.Codec.ZSTD, "clevel": 3, "filters": [blosc2.Filter.BITSHUFFLE], "nthreads": 1}


def mean_label_map(
    members: Sequence[Any], labels: Labels, mean: NDArray[np.float32] | None = None
) -> NDArray[np.integer]:
    """Decides by the mean of probabilities.

    Args:
        members: probabilities, (outputs, z, y, x) each, float16 or float32: arrays, in memory or mapped, or what
            `open_probabilities` opens.
        labels: what the channels mean.
        mean: is filled with the mean, of the same shape.

    Returns:
        (z, y, x), file values, `labels.dtype()`: the class with the largest mean, of equal ones the smallest; or every
        region whose mean is above one half.

    >>> labels = Labels(values={"background": 0, "kidney": 3})
    >>> sure, unsure = (np.array([share, 1 - share]).reshape(2, 1, 1, 1) for share in (0.1, 0.6))
    >>> mean_label_map([sure, unsure], labels).item()
    3
    """
    shape = tuple(members[0].shape)
    label_map: NDArray[np.integer] = np.zeros(shape[1:], labels.dtype())
    slices = max(1, SLAB_VALUES // max(1, shape[0] * shape[2] * shape[3]))
    for start in range(0, shape[1], slices):
        rows = slice(start, min(start + slices, shape[1]))
        total = np.zeros((shape[0], rows.stop - start, *shape[2:]), np.float32)
        for member in members:
            total += member[:, rows]
            release(member)
        total /= len(members)
        if mean is not None:
            mean[:, rows] = total
            release(mean)
        label_map[rows] = decide(torch.from_numpy(total), labels, EVEN).numpy()
    return label_map


def write_probabilities(target: Path, probabilities: NDArray[np.floating]) -> None:
    """Writes probabilities, (outputs, z, y, x), compressed, as float16; atomically.

    Raises:
        AutosegError: the disk is full.
    """
    shape = probabilities.shape
    with atomic_path(target, suffix=".b2nd", durable=False) as temporary:
        try:
            stored = blosc2.empty(
                shape, np.float16, urlpath=str(temporary), mode="w", chunks=(1, 1, *shape[2:]), cparams=STORED
            )
            for row in range(shape[1]):
                stored[:, row : row + 1] = np.ascontiguousarray(probabilities[:, row : row + 1], np.float16)
            del stored  # which writes what is left
        except RuntimeError as problem:  # all that blosc2 makes of a full disk
            raise AutosegError(
                f"{target}: cannot be written ({problem}): is the disk full? Make room and run the same command again."
            ) from None


def open_probabilities(source: Path) -> Any:
    """What `write_probabilities` wrote, read from the disk where it is looked at.

    Raises:
        AutosegError: the file is damaged.
    """
    try:
        return blosc2.open(str(source), mode="r", dparams={"nthreads": 1})
    except (RuntimeError, OSError, ValueError):
        raise AutosegError(f"{source}: damaged. Remove it and run the same command again.") from None
