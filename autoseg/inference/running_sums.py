"""Weighted sums of logits over those rows of an image that windows may still touch.

Comes in: the logits of one window after the other, from the first row of the image to the last. Goes out: mean
logits of rows that no window will touch again. Only the rows in between are held.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class RunningSums:
    """Rows of sums and of the weights in them; row 0 is row `first` of the image.

    Attributes:
        first: of the image, the first row that is held.
        sums: (outputs, rows, y, x), float32.
        weights: (rows, y, x), float32.
    """

    def __init__(self, sums: Tensor, weight: Tensor) -> None:
        """Starts at the first row.

        Args:
            sums: zeros, (outputs, rows, y, x): as many rows as windows touch before the first are finished.
            weight: how much each voxel of a window counts, (z, y, x).
        """
        self.first = 0
        self.sums, self.weights = sums, torch.zeros(sums.shape[1:], device=sums.device)
        self._weight = weight.to(sums.device)

    @property
    def device(self) -> torch.device:
        """Where the sums are."""
        return self.sums.device

    def to_host(self) -> None:
        """Moves everything out of a GPU's memory."""
        self.sums, self.weights, self._weight = self.sums.cpu(), self.weights.cpu(), self._weight.cpu()

    def add(self, corner: Sequence[int], logits: Tensor) -> None:
        """Adds a window.

        Args:
            corner: its first voxel in the image, (z, y, x).
            logits: (outputs, z, y, x), float32, on any device; or what becomes that by repetition.
        """
        start = (corner[0] - self.first, *corner[1:])
        place = tuple(slice(at, at + size) for at, size in zip(start, self._weight.shape, strict=True))
        self.sums[(slice(None), *place)].addcmul_(logits.to(self.device), self._weight)
        self.weights[place] += self._weight

    def means(self, until: int) -> Tensor:
        """Mean logits from the first row held up to row `until` of the image; forget these rows next.

        Returns:
            (outputs, rows, y, x), float32: the memory of the sums themselves.
        """
        count = until - self.first
        return self.sums[:, :count].div_(self.weights[:count])

    def forget(self, until: int) -> None:
        """Lets go of the rows before row `until` of the image."""
        count = until - self.first
        for held in (*self.sums, self.weights):
            left = len(held) - count
            for row in range(left):  # in place: a copy of all of them would double the memory
                held[row] = held[row + count]
            held[left:] = 0
        self.first = until
