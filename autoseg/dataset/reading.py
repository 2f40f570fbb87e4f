"""A training case in memory.

Comes in: a case and the description of its dataset. Goes out: its image and its label map, which
fit each other and the description.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autoseg.dataset.dataset import Case
from autoseg.dataset.description import Description
from autoseg.dataset.images import Image, read_image, read_label_map
from autoseg.dataset.mismatch import Part, describe_mismatch
from autoseg.errors import DatasetError
from autoseg.phrases import counted


def read_case(case: Case, description: Description) -> tuple[Image, NDArray[np.integer]]:
    """Reads a case that has a label map.

    Returns:
        The image, and the label map, (z, y, x), in the values of the file.

    Raises:
        DatasetError: there is no label map, a file cannot be read, the number of channels is not
            that of the description, or image and label map lie on different grids.
    """
    if case.label is None:
        raise DatasetError("no label map. Add it, or take the case out of the training cases.")
    image = read_image(*case.images)
    found, declared = len(image.array), description.channels
    if found != len(declared):
        raise DatasetError(
            f"the image has {counted(found, 'channel')}, the dataset declares {len(declared)} "
            f"({', '.join(declared)}). Correct the files or the declaration."
        )
    label_map, grid = read_label_map(case.label)
    parts = [Part("image", case.images[0], image.grid), Part("label", case.label, grid)]
    if mismatch := describe_mismatch("label and image", parts):
        raise DatasetError(f"{mismatch}\nResample the label onto the image (nearest neighbour), or leave the case out.")
    return image, label_map
