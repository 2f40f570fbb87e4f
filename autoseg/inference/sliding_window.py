"""Logits for a whole image from a network that sees windows of it.

Comes in: a prepared image (channels, z, y, x) and networks. Goes out: logits (outputs, rows, y, x), averaged over
overlapping windows, mirrored views and networks, some rows of the image after the other.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from autoseg.dataset import Labels
from autoseg.inference.air import air_logits, air_test
from autoseg.inference.mapped import mapped_array, release
from autoseg.inference.running_sums import RunningSums
from autoseg.inference.tiles import window_count, window_starts, window_weights
from autoseg.networks.devices import autocast
from autoseg.plan import Stage
from autoseg.plan.inference import Inference, View
from autoseg.progress import Step

WINDOWS_AT_ONCE = {2: 32, 3: 1}  # by the stage's dimensions: what keeps a device busy without filling it


class Window(NamedTuple):
    """First voxel of a window in the padded image, (z, y, x)."""

    z: int
    y: int
    x: int


def predict_rows(
    networks: Sequence[nn.Module],
    image: Tensor,
    stage: Stage,
    labels: Labels,
    device: torch.device,
    mirror: bool = True,
    step: Step | None = None,
    disk: Path | None = None,
) -> Iterator[Tensor]:
    """Slides a window over the image, and hands out rows that no window will touch again.

    Where a GPU's memory runs out, windows are seen fewer at a time, then sums are kept on the host.

    Args:
        networks: in evaluation mode on `device`; their logits are averaged.
        image: (channels, z, y, x), float32, prepared as the stage says.
        stage: patch size, overlap, weights, mirror axes, precision.
        labels: of the dataset; what the channels of the logits mean.
        device: where the networks are; the sums are kept there.
        mirror: average over the stage's mirror axes too.
        step: told of every finished share of the image.
        disk: a folder on whose disk the sums are kept, in place of memory.

    Yields:
        Logits (outputs, rows, y, x), float32, from the first row of the image to the last; good until the next.

    Raises:
        torch.OutOfMemoryError: the GPU does not hold a single window's pass.
    """
    # Gradients are off where networks compute, not here: a decorated generator holds on to what it handed out.
    window = window_of(stage)
    padded, inside = _padded(image, window)
    groups = grouped_windows(padded.shape[1:], stage)
    views = views_of(stage.inference) if mirror else [View()]
    weight = torch.from_numpy(window_weights(window, stage.inference.gaussian_sigma))
    ends = [following[0].z for following in groups[1:]] + [padded.shape[1]]
    held = rows_held(padded.shape[1:], stage)
    with _no_sums((labels.outputs, held, *padded.shape[2:]), weight, device, disk) as (sums, let_go):
        look = partial(_spared, networks, views, stage, device, sums)
        for group, end in zip(groups, ends, strict=True):
            for first, logits in _logits(padded, group, stage, labels, look):
                sums.add(first, logits)
            let_go()
            start, stop = max(sums.first, inside[0].start), min(end, inside[0].stop)
            if start < stop:
                rows = slice(start - sums.first, stop - sums.first)
                yield sums.means(end)[(slice(None), rows, *inside[1:])]
            if end > sums.first:
                sums.forget(end)
            if step:
                step(1 / len(groups), "")


def rows_held(shape: Sequence[int], stage: Stage) -> int:
    """Rows of an image (z, y, x) that windows touch, at any time, before the first of these rows are finished.

    No window is listed: the image may be one that nobody could hold.
    """
    total, at_once = math.prod(counts := _counts(shape, stage)), WINDOWS_AT_ONCE[stage.dimensions]
    in_row, groups = total // counts[0], -(-total // at_once)

    def spanned(group: int) -> int:
        first, last = group * at_once, min((group + 1) * at_once, total) - 1
        return last // in_row - first // in_row

    # Where groups lie in their rows repeats itself; where rows hold more than a group, the end of the first row tells.
    telling = {*range(min(groups, at_once)), min(in_row // at_once, groups - 1)}
    return max(map(spanned, telling)) + window_of(stage)[0]


def windows_at_once(shape: Sequence[int], stage: Stage) -> int:
    """Most windows over an image (z, y, x) that pass through a network together."""
    return min(WINDOWS_AT_ONCE[stage.dimensions], math.prod(_counts(shape, stage)))


def window_of(stage: Stage) -> tuple[int, ...]:
    """Voxels of a window, (z, y, x): the patch; of a 2-D stage, one slice of it."""
    return (1,) * (3 - stage.dimensions) + stage.sampling.patch_size


def padded_shape(shape: Sequence[int], stage: Stage) -> tuple[int, ...]:
    """An image's shape (z, y, x), made as large as a window where it is smaller."""
    return tuple(max(size, least) for size, least in zip(shape, window_of(stage), strict=True))


def grouped_windows(shape: Sequence[int], stage: Stage) -> list[list[Window]]:
    """All windows over an image (z, y, x), in order, in groups that are seen at once; of 2-D stages, in every slice."""
    axes = [window_starts(*along) for along in zip(shape, window_of(stage), _overlaps(stage), strict=True)]
    corners = [Window(*first) for first in itertools.product(*axes)]
    size = WINDOWS_AT_ONCE[stage.dimensions]
    return [corners[first : first + size] for first in range(0, len(corners), size)]


def _counts(shape: Sequence[int], stage: Stage) -> list[int]:
    """Windows along each axis of an image."""
    return [window_count(*along) for along in zip(shape, window_of(stage), _overlaps(stage), strict=True)]


def _overlaps(stage: Stage) -> list[float]:
    """Of neighbouring windows, as a fraction of a window, along z, y and x."""
    return [0.0] * (3 - stage.dimensions) + [stage.inference.overlap] * stage.dimensions


@contextmanager
def _no_sums(
    shape: Sequence[int], weight: Tensor, device: torch.device, disk: Path | None
) -> Iterator[tuple[RunningSums, Callable[[], None]]]:
    """Sums of nothing yet, in memory or on a disk if one is given.

    Yields:
        Them, and what lets go of the memory in which a disk's were touched. In a GPU's memory nothing else refers to
        them, so moving them to the host frees it.
    """
    if disk is None:
        yield RunningSums(_zeros(shape, device), weight), lambda: None
        return
    with mapped_array(disk, shape) as array:
        yield RunningSums(torch.from_numpy(array), weight), partial(release, array)


def _zeros(shape: Sequence[int], device: torch.device) -> Tensor:
    """On the device; on the host where the device's memory is too small."""
    with suppress(torch.OutOfMemoryError):
        return torch.zeros(tuple(shape), device=device)
    return torch.zeros(tuple(shape))


def _logits(
    padded: Tensor, group: Sequence[Window], stage: Stage, labels: Labels, look: Callable[[Tensor], Tensor]
) -> Iterator[tuple[Window, Tensor]]:
    """Each window of a group with its logits; those of air are not looked at."""
    is_air, background, window = air_test(stage), air_logits(labels), window_of(stage)
    views = {first: padded[(slice(None), *_place(first, window))] for first in group}
    looked = [first for first in group if not is_air(views[first])]
    if looked:
        yield from zip(looked, look(torch.stack([views[first] for first in looked])), strict=True)
    for first in group:
        if first not in looked:
            yield first, background


def _spared(
    networks: Sequence[nn.Module],
    views: Sequence[View],
    stage: Stage,
    device: torch.device,
    sums: RunningSums,
    batch: Tensor,
) -> Tensor:
    """As `averaged`; where the device's memory runs out, half as many windows, then the sums on the host."""
    try:
        return averaged(networks, batch.to(device), views, stage, device)
    except torch.OutOfMemoryError:
        if len(batch) == 1 and sums.device == torch.device("cpu"):
            raise
    # Not while the exception is handled: it holds on to what was computed.
    if len(batch) > 1:
        halves = torch.split(batch, -(-len(batch) // 2))
        return torch.cat([_spared(networks, views, stage, device, sums, half) for half in halves])
    sums.to_host()
    torch.cuda.empty_cache()
    return _spared(networks, views, stage, device, sums, batch)


@torch.inference_mode()
def averaged(
    networks: Sequence[nn.Module], batch: Tensor, views: Sequence[View], stage: Stage, device: torch.device
) -> Tensor:
    """Mean logits over networks and views.

    Args:
        networks: on the device.
        batch: windows, (windows, channels, z, y, x), on the device.
        views: how the windows are turned.
        stage: its dimensions and precision.
        device: where all are.

    Returns:
        (windows, outputs, z, y, x), float32.
    """
    flat = stage.dimensions == 2
    windows = batch[:, :, 0] if flat else batch
    total: Tensor | float = 0.0
    with autocast(device, stage.training.precision):
        for network, view in itertools.product(networks, views):
            total = total + turned_back(network(turned(windows, view))[0].float(), view)
    mean = torch.as_tensor(total) / (len(networks) * len(views))
    return mean[:, :, None] if flat else mean


def views_of(inference: Inference) -> list[View]:
    """The views that are listed, or every combination of mirrored axes, none of them first."""
    axes = inference.mirror_axes
    combinations = (chosen for count in range(len(axes) + 1) for chosen in itertools.combinations(axes, count))
    return list(inference.views) or [View(flips=chosen) for chosen in combinations]


def turned(windows: Tensor, view: View) -> Tensor:
    """Windows, (windows, channels, …), as a view shows them."""
    rotated = torch.rot90(windows, view.quarter_turns, (-2, -1)) if view.quarter_turns else windows
    return rotated.flip([axis + 2 for axis in view.flips])


def turned_back(windows: Tensor, view: View) -> Tensor:
    """Undoes `turned`."""
    rotated = windows.flip([axis + 2 for axis in view.flips])
    return torch.rot90(rotated, -view.quarter_turns, (-2, -1)) if view.quarter_turns else rotated


def _place(first: Window, window: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(at, at + size) for at, size in zip(first, window, strict=True))


def _padded(image: Tensor, window: Sequence[int]) -> tuple[Tensor, tuple[slice, ...]]:
    """The image padded with 0 to at least the window, centred; and where the image lies in it."""
    padding, inside = [], []
    for size, least in zip(image.shape[1:], window, strict=True):
        missing = max(0, least - size)
        padding.append((missing // 2, missing - missing // 2))
        inside.append(slice(missing // 2, missing // 2 + size))
    flat = [amount for pair in reversed(padding) for amount in pair]
    return functional.pad(image, flat) if any(flat) else image, tuple(inside)
