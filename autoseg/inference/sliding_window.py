"""Logits for a whole image from a network that sees windows of it.

Comes in: a prepared image (channels, z, y, x) and networks. Goes out: logits (outputs, z, y, x),
averaged over overlapping windows, mirrored views and networks.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from autoseg.inference.tiles import window_starts, window_weights
from autoseg.networks.devices import autocast
from autoseg.plan import Stage
from autoseg.progress import Step

WINDOWS_AT_ONCE = {2: 32, 3: 1}  # by the stage's dimensions: what keeps a device busy without filling it


class Window(NamedTuple):
    """First voxel of a window in the padded image, (z, y, x)."""

    z: int
    y: int
    x: int


@torch.inference_mode()
def predict_logits(
    networks: Sequence[nn.Module],
    image: Tensor,
    stage: Stage,
    outputs: int,
    device: torch.device,
    mirror: bool = True,
    step: Step | None = None,
) -> Tensor:
    """Slides a window over the image.

    Args:
        networks: in evaluation mode on `device`; their logits are averaged.
        image: (channels, z, y, x), float32, prepared as the stage says.
        stage: patch size, overlap, weights, mirror axes, precision.
        outputs: channels of the logits.
        device: where the networks are; the sums are kept there.
        mirror: average over the stage's mirror axes too.
        step: told of every finished share of the image.

    Returns:
        Logits (outputs, z, y, x), float32, on `device`.
    """
    window = (1,) * (3 - stage.dimensions) + stage.sampling.patch_size
    padded, inside = _padded(image, window)
    padded = padded.to(device)
    sums = torch.zeros((outputs, *padded.shape[1:]), device=device)
    weights = torch.zeros(padded.shape[1:], device=device)
    weight = torch.from_numpy(window_weights(window, stage.inference.gaussian_sigma)).to(device)
    groups = list(_groups(windows(padded.shape[1:], window, stage), WINDOWS_AT_ONCE[stage.dimensions]))
    flips = _flips(stage.inference.mirror_axes if mirror else ())
    for group in groups:
        places = [tuple(slice(at, at + size) for at, size in zip(first, window, strict=True)) for first in group]
        batch = torch.stack([padded[(slice(None), *place)] for place in places])
        logits = _averaged(networks, batch, flips, stage, device)
        for place, values in zip(places, logits, strict=True):
            sums[(slice(None), *place)] += values * weight
            weights[place] += weight
        if step:
            step(1 / len(groups), "")
    return (sums / weights)[(slice(None), *inside)]


def windows(shape: Sequence[int], window: Sequence[int], stage: Stage) -> list[Window]:
    """All windows over an image (z, y, x), in the order they are visited; a 2-D stage visits every slice."""
    overlaps = [0.0] * (3 - stage.dimensions) + [stage.inference.overlap] * stage.dimensions
    axes = [window_starts(*along) for along in zip(shape, window, overlaps, strict=True)]
    return [Window(*first) for first in itertools.product(*axes)]


def _averaged(
    networks: Sequence[nn.Module], batch: Tensor, flips: list[list[int]], stage: Stage, device: torch.device
) -> Tensor:
    """Mean logits over networks and mirrored views; (windows, outputs, z, y, x), float32."""
    flat = stage.dimensions == 2
    views = batch[:, :, 0] if flat else batch
    total: Tensor | float = 0.0
    with autocast(device, stage.training.precision):
        for network, axes in itertools.product(networks, flips):
            spatial = [axis + 2 for axis in axes]
            total = total + network(views.flip(spatial))[0].float().flip(spatial)
    mean = torch.as_tensor(total) / (len(networks) * len(flips))
    return mean[:, :, None] if flat else mean


def _flips(axes: Sequence[int]) -> list[list[int]]:
    """Every combination of the axes, none of them first."""
    return [list(chosen) for count in range(len(axes) + 1) for chosen in itertools.combinations(axes, count)]


def _padded(image: Tensor, window: Sequence[int]) -> tuple[Tensor, tuple[slice, ...]]:
    """The image padded with 0 to at least the window, centred; and where the image lies in it."""
    padding, inside = [], []
    for size, least in zip(image.shape[1:], window, strict=True):
        missing = max(0, least - size)
        padding.append((missing // 2, missing - missing // 2))
        inside.append(slice(missing // 2, missing // 2 + size))
    flat = [amount for pair in reversed(padding) for amount in pair]
    return functional.pad(image, flat), tuple(inside)


def _groups(items: Sequence[Window], size: int) -> Iterator[Sequence[Window]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]
