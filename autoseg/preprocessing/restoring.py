"""The way back: scores on the prepared grid become a label map on the image's own grid, rows at a time.

Comes in: the scores (logits) of a network, some rows along the prepared array's first axis after the
other, on any device; the image's `Placement`; the dataset's labels. Goes out: file values and, where
wanted, probabilities, on the native grid.

    resample → decide → order and orientation of axes undone → written into background

A row is decided as soon as the scores it lies between are there, and those are forgotten. So the memory
needed beside the label map grows neither with the length of the image nor with the number of labels; and
the label map is the same, into however many parts the scores were divided.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from autoseg.dataset.labels import Labels
from autoseg.preprocessing.deciding import decide
from autoseg.preprocessing.placement import Placement
from autoseg.preprocessing.resampling import interpolation_matrix

SCORE_ORDER = 1  # scores are interpolated linearly,
COARSE_SCORE_ORDER = 0  # and taken from the nearest slice along a coarse axis
EVEN = 0.0  # the logit of a probability of one half
BLOCK_VOXELS = 2**20  # of a channel that are interpolated at once: what caches hold, and a GPU is busy with


class Restorer:
    """Takes scores row by row and fills a label map, and probabilities, on the image's own grid.

    Attributes:
        label_map: (z, y, x), file values, `labels.dtype()`; outside the crop 0. Whole once all rows were added.
    """

    def __init__(
        self,
        placement: Placement,
        labels: Labels,
        probabilities: NDArray[np.floating] | None = None,
        order: int = SCORE_ORDER,
    ) -> None:
        """Starts with background everywhere.

        Args:
            placement: of the prepared image.
            labels: of the dataset.
            probabilities: (outputs, z, y, x) on the native grid, such as a file mapped into memory; is filled.
            order: 1 interpolates scores linearly, 0 takes the nearest voxel's.
        """
        self.label_map: NDArray[np.integer] = np.zeros(placement.native_shape, dtype=labels.dtype())
        self._labels = labels
        self._label_view = placement.view(self.label_map)
        self._probability_view = None
        if probabilities is not None:
            probabilities[:] = 0
            probabilities[0] = 0 if labels.regions else 1
            self._probability_view = placement.view(probabilities)
        orders = placement.orders_back(order, COARSE_SCORE_ORDER)
        shapes = zip(placement.shape, placement.cropped_shape, orders, strict=True)
        self._taps = [find_taps(*along) for along in shapes]
        # Axes that shrink go first: what comes after them is less.
        growth = [after / before for before, after in zip(placement.shape, placement.cropped_shape, strict=True)]
        self._axes = sorted(range(3), key=growth.__getitem__)
        channels = labels.outputs if probabilities is not None else 1
        self._rows_at_once = max(1, BLOCK_VOXELS // (channels * self._label_view[0].size))
        self._kept: torch.Tensor | None = None  # the last row that was added
        self._added = self._restored = 0  # rows of scores, rows of the label map

    def add(self, scores: torch.Tensor) -> None:
        """Decides all rows that lie between scores that were added.

        Args:
            scores: (outputs, rows, y, x), logits on the prepared grid: one a class, or one a region. Ties go to the
                smaller class.
        """
        lower, upper, _ = self._taps[0]
        before, now = self._added, self._added + scores.shape[1]
        if self._kept is not None and lower[self._restored :][:1].tolist() == [before - 1]:
            seam = torch.cat((self._kept.to(scores.device), scores[:, :1]), dim=1)
            self._restore(seam, before - 1, int(torch.searchsorted(lower, before)))
        self._restore(scores, before, int(torch.searchsorted(upper, now)))
        self._added, self._kept = now, scores[:, -1:].clone()

    def _restore(self, scores: torch.Tensor, first: int, until: int) -> None:
        """Rows of the label map, the next one up to `until`, from scores of which the first is row `first`."""
        for start in range(self._restored, until, self._rows_at_once):
            rows = slice(start, min(start + self._rows_at_once, until))
            channels: Iterator[torch.Tensor] | torch.Tensor = self._interpolated(scores, first, rows)
            if self._probability_view is not None:
                channels = torch.stack(list(channels))
                probabilities = torch.sigmoid(channels) if self._labels.regions else torch.softmax(channels, dim=0)
                self._probability_view[:, rows] = probabilities.cpu().numpy()
            self._label_view[rows] = decide(channels, self._labels, EVEN).cpu().numpy()
            self._restored = rows.stop

    def _interpolated(self, scores: torch.Tensor, first: int, rows: slice) -> Iterator[torch.Tensor]:
        """One channel after the other: the rows of the label map that are asked for, (rows, y, x)."""
        lower, upper, share = (tap[rows] for tap in self._taps[0])
        start, stop = int(lower[0]), int(upper[-1]) + 1
        along = [Taps(lower - start, upper - start, share), *self._taps[1:]]
        along = [Taps(*(tap.to(scores.device) for tap in taps)) for taps in along]
        for channel in scores[:, start - first : stop - first]:
            values = channel.float()
            for axis in self._axes:
                values = interpolate(values, along[axis], axis)
            yield values


class Taps(NamedTuple):
    """What each interpolated value is made of: two of the values there are, neighbours or one and the same.

    Attributes:
        lower, upper: where those are.
        share: of the upper one; the rest is the lower one's.
    """

    lower: torch.Tensor
    upper: torch.Tensor
    share: torch.Tensor


def find_taps(n: int, m: int, order: int) -> Taps:
    """What m values are made of that are interpolated between n with order 0 or 1, as `interpolation_matrix` does.

    >>> lower, upper, share = find_taps(2, 4, 1)
    >>> lower.tolist(), upper.tolist(), share.tolist()
    ([0, 0, 0, 1], [0, 1, 1, 1], [0.0, 0.25, 0.75, 0.0])
    """
    matrix = interpolation_matrix(n, m, order)
    used = matrix != 0
    lower, upper = used.argmax(axis=1), n - 1 - used[:, ::-1].argmax(axis=1)
    share = np.where(lower == upper, 0, matrix[np.arange(m), upper]).astype(np.float32)
    return Taps(torch.from_numpy(lower), torch.from_numpy(upper), torch.from_numpy(share))


def interpolate(values: torch.Tensor, taps: Taps, axis: int) -> torch.Tensor:
    """Interpolates a (z, y, x) array along one axis."""
    nearest = torch.equal(taps.lower, taps.upper)
    if nearest and torch.equal(taps.lower, torch.arange(values.shape[axis], device=values.device)):
        return values
    lower = values.index_select(axis, taps.lower)
    if nearest:
        return lower
    share = taps.share.reshape([-1 if axis == other else 1 for other in range(3)])
    return lower.lerp_(values.index_select(axis, taps.upper), share)
