"""Cases whose size or voxels are far off those of the others.

Mostly a header is wrong (cm for mm, a slice distance lost) or a file is not what the rest are; either
bends the median spacing and wastes a network's patches.

Comes in: the grids of cases. Goes out: a sentence a case.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

FEWEST = 5  # cases: of fewer none can be said to be off
SHOWN = 5  # cases; more are only counted
BEYOND = 2.5  # times as far from the median, in the logarithm, as the others lie; more where there are few cases
COMPANIONS = 1, 100  # one other case may be as far off, and one more for every hundred cases: more are no exception
REMEDY = "Look at its header and its image: correct it, or leave the case out; if it is meant to be so, all is well."

AXES = ("z", "y", "x")


class HasGrid(Protocol):
    """A case whose grid is known; `CaseFacts` is one."""

    @property
    def name(self) -> str:
        """Of the case."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels, (z, y, x)."""

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size, (z, y, x)."""


class _Deviation(NamedTuple):
    """How a case differs most along an axis, in its voxel size or its extent.

    Attributes:
        place: of the case among the others.
        axis: 0 for z.
        value, median: of the case and of all, mm.
        factor: between them, above 1.
        is_extent: or else the voxel size.
    """

    place: int
    axis: int
    value: float
    median: float
    factor: float
    is_extent: bool


def outliers(cases: Sequence[HasGrid]) -> tuple[str, ...]:
    """A sentence for each case whose voxel size or extent along some axis is far off the rest.

    Far is a factor of 3 (voxel size) or 4 (extent) from the median at least, and in the logarithm at
    least 2.5 times as far as the others lie from it: voxels of 5 mm are far off among voxels of 0.8 to
    1.2 mm, and not among voxels of 0.6 to 5 mm. Numbers of voxels are not compared: where spacings
    differ they differ as much, and where they do not the extents tell the same.

    Args:
        cases: of a dataset; of fewer than five none is far off.

    Returns:
        The worst five, the worst first, and then how many more there are.
    """
    if len(cases) < FEWEST:
        return ()
    spacings_mm = np.array([case.spacing_mm for case in cases], dtype=float)
    extents_mm = spacings_mm * [case.shape for case in cases]
    worst: dict[int, _Deviation] = {}
    # voxel sizes first: where one is wrong, the extent is wrong by about as much
    for is_extent, values, limit in ((False, spacings_mm, 3.0), (True, extents_mm, 4.0)):
        for axis in range(3):
            for deviation in _deviations(values[:, axis], limit, axis, is_extent):
                known = worst.get(deviation.place)
                if known is None or deviation.factor > 2 * known.factor:
                    worst[deviation.place] = deviation
    ordered = sorted(worst.values(), key=lambda deviation: -deviation.factor)
    sentences = [_sentence(deviation, cases) for deviation in ordered[:SHOWN]]
    if (more := len(ordered) - SHOWN) > 0:
        sentences.append(f"{more} more case{'s are' if more > 1 else ' is'} far off the others in size or voxel size.")
    return tuple(sentences)


def _deviations(values: NDArray[np.float64], limit: float, axis: int, is_extent: bool) -> list[_Deviation]:
    """The cases that are far off in one quantity along one axis."""
    count, median = len(values), float(np.median(values))
    distances = np.abs(np.log(values / median))
    companions = COMPANIONS[0] + count // COMPANIONS[1]
    found = []
    for place in np.flatnonzero(distances > np.log(limit) - 1e-9):
        reach = np.sort(np.delete(distances, place))[-1 - companions]
        if distances[place] > BEYOND * (1 + 10 / count) * reach:
            factor = float(np.exp(distances[place]))
            found.append(_Deviation(int(place), axis, float(values[place]), median, factor, is_extent))
    return found


def _sentence(deviation: _Deviation, cases: Sequence[HasGrid]) -> str:
    case, axis = cases[deviation.place], deviation.axis
    shown = f"voxels of {deviation.value:.4g} mm along {AXES[axis]}"
    if deviation.is_extent:
        voxels = f"{case.shape[axis]} voxels of {case.spacing_mm[axis]:.4g} mm"
        shown = f"an extent of {deviation.value:.4g} mm along {AXES[axis]} ({voxels})"
    times = f"{deviation.factor:.3g} times {'the' if deviation.value > deviation.median else 'less than the'}"
    return f"Case '{case.name}' has {shown}, {times} median of the {len(cases)} cases, {deviation.median:.4g} mm."
