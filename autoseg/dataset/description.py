"""What a dataset says of itself: the part that travels into the fingerprint and every plan.

Comes in: what a layout found. Goes out: `Description`, which is JSON in those files.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from autoseg.dataset.labels import Labels
from autoseg.frozen import Frozen


class Description(Frozen):
    """Name, channels and labels of a dataset.

    Attributes:
        name: as people know it.
        channels: name of each image channel, in the order of the arrays ("CT", "T2").
        labels: what the label maps hold.
        dimensions: of the image files, 2 or 3.
    """

    name: str
    channels: tuple[str, ...] = Field(min_length=1)
    labels: Labels
    dimensions: Literal[2, 3] = 3
