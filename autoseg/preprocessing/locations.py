"""Where the labels lie in a prepared case, so that patches can be centred on them.

Comes in: a class map. Goes out: `Locations`, a random sample of voxels for every label or region.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoseg.dataset.labels import IGNORE_CLASS, Labels

MOST_LOCATIONS = 10_000  # of a target, unless
LEAST_SHARE = 0.01  # this share of its voxels is more
SEED = 1234

Voxels = NDArray[np.int32]  # (n, 3): z, y, x


class Locations(NamedTuple):
    """Voxels of a prepared case.

    Attributes:
        targets: for each of `labels.targets`, in their order, voxels that belong to it.
        annotated: voxels that somebody annotated, background included; None where that is all of them.
    """

    targets: tuple[Voxels, ...]
    annotated: Voxels | None


def sample_locations(class_map: NDArray[np.int16], labels: Labels) -> Locations:
    """Draws voxels of every target, the same ones every time.

    Args:
        class_map: (z, y, x), class indices and `IGNORE_CLASS`.
        labels: of the dataset.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z (oversampling of foreground).
    """
    generator = np.random.default_rng(SEED)
    targets = tuple(_sample(np.isin(class_map, classes), generator) for classes in labels.target_classes.values())
    annotated = None if labels.ignore is None else _sample(class_map != IGNORE_CLASS, generator)
    return Locations(targets, annotated)


def _sample(mask: NDArray[np.bool_], generator: np.random.Generator) -> Voxels:
    inside = np.flatnonzero(mask)
    count = max(min(MOST_LOCATIONS, len(inside)), int(np.ceil(LEAST_SHARE * len(inside))))
    drawn = generator.choice(inside, count, replace=False, shuffle=False)
    return np.stack(np.unravel_index(drawn, mask.shape), axis=1).astype(np.int32)
