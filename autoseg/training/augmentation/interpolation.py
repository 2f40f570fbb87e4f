"""Linear interpolation at the places an affine map leads to: of images, and of classes by their shares.

Comes in: arrays with any number of channels over 2 or 3 axes, a matrix, a centre, a patch size.
Goes out: the arrays at the mapped places.

The places of a patch are cut into pieces that fit the processor's cache, and each of the 4 or 8
corners of a place's cell is one `index_select`. On one core this takes a fifth of the time of
`grid_sample` (benchmarks/choices.py), and the cells' coordinates are shared by all channels. Classes are interpolated
exactly, as one-hot shares of which the largest wins, but only in cells where classes meet; everywhere
else the cell's class is read off. Both are the same on a GPU, where one piece is the whole patch.

    place p of the patch, from its middle      p → M·p + c      in the source, c its centre there
    cell                                       ⌊M·p + c⌋        its first corner; weights from the rest
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

PIECE = 2**15  # places at once on a CPU: about 20 arrays of them stay in its cache
MEETINGS = 2**17  # cells where classes meet, at once
LAST = 2**15 - 1  # where the ignore class, -1, stands among the classes: it loses ties


class _Map(NamedTuple):
    """Where the places of a patch lie in a source."""

    matrix: NDArray[np.float64]
    first: NDArray[np.float64]  # where the patch's first place lies
    patch: tuple[int, ...]
    source: tuple[int, ...]


def interpolate(
    images: Tensor, classes: Tensor, matrix: NDArray[np.float64], centre: Sequence[float], patch: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Reads images and classes through an affine map. Beyond the source there are 0 and class 0.

    Args:
        images: (channels, *source), float32.
        classes: (maps, *source), int16; -1 is a class like the others.
        matrix: maps a place of the patch to the source, both from the patch's centre, in voxels.
        centre: voxel of the source that the centre of the patch falls on.
        patch: size of what is returned.

    Returns:
        Images (channels, *patch): interpolated linearly along each axis. Classes (maps, *patch): of the shares
        that such an interpolation gives each class the largest; of equal ones, the smaller class, -1 last.
    """
    first = np.asarray(centre) - matrix @ ((np.asarray(patch) - 1) / 2)
    first, (images, classes) = _padded(first, matrix, patch, [images, classes])
    where = _Map(matrix, first, tuple(patch), tuple(images.shape[1:]))
    corners = _corner_offsets(where.source)
    warped = images.new_empty((len(images), int(np.prod(patch))))
    sources, maps = images.flatten(1), classes.flatten(1)
    lowest = maps.amin(1)
    chosen = lowest[:, None].repeat(1, warped.shape[1])
    several = (lowest != maps.amax(1)).nonzero()[:, 0].tolist()  # maps of more than one class; the rest is done
    spreads = {one: _spread(maps[one], where.source) for one in several}
    meetings: dict[int, list[_Meeting]] = {one: [] for one in several}
    for piece, cells, weights in _pieces(where, images.device):
        for source, target in zip(sources, warped, strict=True):
            target[piece] = _blend([source[corner:].index_select(0, cells) for corner in corners], weights)
        for one in several:
            chosen[one, piece] = maps[one].index_select(0, cells)
            mixed = spreads[one].index_select(0, cells).nonzero()[:, 0]
            at = torch.stack([weight[mixed] for weight in weights])
            meetings[one].append(_Meeting(mixed + piece.start, cells[mixed], at))
    for one in several:
        for places, cells, at in _of_some_size(meetings[one]):
            labels = torch.stack([maps[one, corner:].index_select(0, cells) for corner in corners])
            chosen[one, places] = _largest_share(labels, at)
    return warped.view(len(images), *patch), chosen.view(len(classes), *patch)


class _Meeting(NamedTuple):
    """Places in whose cells classes meet."""

    places: Tensor  # of the patch, counted through
    cells: Tensor  # their first corners in the source
    weights: Tensor  # of the second corner along each axis, (axes, places)


def _of_some_size(meetings: Sequence[_Meeting]) -> Iterator[_Meeting]:
    """The same places, few at a time if they are many: in noise classes meet everywhere."""
    places, cells, weights = (torch.cat(parts, -1) for parts in zip(*meetings, strict=True))
    for start in range(0, len(places), MEETINGS):
        some = slice(start, start + MEETINGS)
        yield _Meeting(places[some], cells[some], weights[:, some])


def _padded(
    first: NDArray[np.float64], matrix: NDArray[np.float64], patch: Sequence[int], arrays: Sequence[Tensor]
) -> tuple[NDArray[np.float64], list[Tensor]]:
    """The arrays with zeros around them, as far as the patch reaches beyond them, and at least two voxels an axis."""
    ends = matrix * (np.asarray(patch) - 1)
    lowest, highest = first + np.minimum(ends, 0).sum(1), first + np.maximum(ends, 0).sum(1)
    tolerance = 1e-3  # a place that rounding puts beyond the border lies on it
    before = np.maximum(0, np.ceil(-lowest - tolerance)).astype(int)
    source = np.array(arrays[0].shape[1:])
    after = np.maximum(np.ceil(highest - tolerance) - (source - 1), 2 - before - source).clip(0).astype(int)
    if before.any() or after.any():
        widths = [int(width) for pair in zip(before[::-1], after[::-1], strict=True) for width in pair]
        arrays = [functional.pad(array, widths) for array in arrays]
    return first + before, list(arrays)


def _pieces(where: _Map, device: torch.device) -> Iterator[tuple[slice, Tensor, list[Tensor]]]:
    """Pieces of the patch's places in order: which, their cells' first corners, and their weights along each axis."""
    dimensions, row = len(where.patch), int(np.prod(where.patch[1:]))
    rows = max(1, PIECE // row) if device.type == "cpu" else where.patch[0]
    steps = torch.as_tensor(where.matrix, dtype=torch.float32, device=device)
    first = torch.as_tensor(where.first, dtype=torch.float32, device=device)
    ramps = [torch.arange(size, dtype=torch.float32, device=device) for size in where.patch]
    along_last = [steps[axis, -1] * ramps[-1] + first[axis] for axis in range(dimensions)]
    for start in range(0, where.patch[0], rows):
        outer = torch.meshgrid(ramps[0][start : start + rows], *ramps[1:-1], indexing="ij")
        cells: Tensor | None = None
        weights = []
        for axis, size in enumerate(where.source):
            lines = sum(step * part for step, part in zip(steps[axis], outer, strict=False))
            at = (lines.reshape(-1, 1) + along_last[axis]).view(-1)
            cell = at.to(torch.int32).clamp_(0, size - 2)
            weights.append(at.sub_(cell).clamp_(0, 1))
            cells = cell if cells is None else cells.mul_(size).add_(cell)
        assert cells is not None
        yield slice(start * row, start * row + len(cells)), cells, weights


def _corner_offsets(source: Sequence[int]) -> list[int]:
    """From the first corner of a cell to each of its corners, in a flat array; the last axis counts fastest."""
    strides = [int(np.prod(source[axis + 1 :])) for axis in range(len(source))]
    return [int(np.dot(corner, strides)) for corner in product((0, 1), repeat=len(source))]


def _blend(values: list[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Values at the corners of cells, blended along the last axis, then the one before, …"""
    for weight in reversed(weights):
        values = [low.lerp_(high, weight) for low, high in zip(values[::2], values[1::2], strict=True)]
    return values[0]


def _largest_share(labels: Tensor, weights: Tensor) -> Tensor:
    """The class of largest share in each cell, (cells,).

    Args:
        labels: of the corners, (corners, cells).
        weights: of the second corner along each axis, (axes, cells).
    """
    shares = torch.ones_like(weights[0])[None]
    for weight in weights:
        shares = torch.stack((shares * (1 - weight), shares * weight), 1).flatten(0, 1)
    order = labels.masked_fill(labels < 0, LAST)
    best, winner = torch.zeros_like(weights[0]), torch.full_like(order[0], LAST)
    for candidate in order:
        share = (shares * (order == candidate)).sum(0)
        better = (share > best) | ((share == best) & (candidate < winner))
        best, winner = torch.where(better, share, best), torch.where(better, candidate, winner)
    return winner.masked_fill_(winner == LAST, -1)


def _spread(classes: Tensor, source: Sequence[int]) -> Tensor:
    """For every cell, by its first corner, the largest class of its corners less the smallest: 0 where there is one.

    Args:
        classes: (voxels,), flat. Of its end, where no cells begin, some values may be left out.
        source: the shape they have.
    """
    lowest = highest = classes
    for axis in range(len(source)):
        stride = int(np.prod(source[axis + 1 :]))
        lowest = torch.minimum(lowest[:-stride], lowest[stride:])
        highest = torch.maximum(highest[:-stride], highest[stride:])
    return highest - lowest
