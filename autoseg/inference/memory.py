"""The memory of a prediction, known before anything is allocated.

Comes in: a stage, the description of its dataset, the shape of an image. Goes out: bytes at the peak, and the way
to predict it in the memory there is. A window's pass through its network is traced on fake tensors; the rest is
added up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from autoseg.dataset import Description
from autoseg.inference.sliding_window import averaged, padded_shape, rows_held, views_of, window_of, windows_at_once
from autoseg.networks.devices import computing_type
from autoseg.networks.fake import Casting, input_channels, network_without_weights, with_fake_weights
from autoseg.networks.live_bytes import LiveBytes
from autoseg.plan import Stage

FLOAT = 4  # bytes of a float32
CPU = torch.device("cpu")
READ_BYTES = 8  # most bytes a voxel takes while it is read: those of the file, and the float made of them
NOT_GIVEN_BACK = 0.15  # of what is in use, that the allocator keeps on top


class Way(NamedTuple):
    """How images are predicted, and the memory it takes.

    Attributes:
        read_ahead: the next image is read and prepared meanwhile.
        sums_on_disk: the sums of logits are kept in a file.
        host_bytes: of the process, at its peak.
    """

    read_ahead: bool
    sums_on_disk: bool
    host_bytes: int


WAYS = ((True, False), (False, False), (False, True))  # read_ahead, sums_on_disk; what is fast comes first


def find_way(
    stage: Stage,
    dataset: Description,
    native: Sequence[int],
    prepared: Sequence[int],
    device: torch.device,
    used: int,
    limit: float,
    several: bool = True,
) -> Way:
    """The fastest way that keeps below a limit; where none does, the one that takes the least.

    Args:
        stage: what predicts.
        dataset: its channels and labels.
        native: voxels of the largest image in its file, (z, y, x).
        prepared: the same at the stage's spacing.
        device: where the networks are.
        used: bytes the process takes already, the networks included.
        limit: bytes it may take.
        several: there are more images than this one, so that there is something to read ahead.
    """
    channels, padded = input_channels(stage, dataset), padded_shape(prepared, stage)
    reading = channels * READ_BYTES * math.prod(native)
    preparing = channels * FLOAT * (math.prod(native) + 2 * math.prod(prepared))
    held = FLOAT * channels * sum(math.prod(shape) for shape in {tuple(prepared), padded})
    labels = 2 * np.dtype(dataset.labels.dtype()).itemsize * math.prod(native)  # one being filled, one being written
    passing = forward_bytes(stage, dataset, padded, device) if device.type == "cpu" else 0
    window = window_of(stage)
    touched = FLOAT * (dataset.labels.outputs + 1) * window[0] * window[1] * padded[2]
    ways = WAYS if device.type == "cpu" else WAYS[:2]
    for read_ahead, sums_on_disk in ways if several else ways[1:]:
        sums = 0 if device.type != "cpu" else touched if sums_on_disk else sums_bytes(stage, dataset, padded)
        coming, now = max(reading, preparing), held + labels + passing + sums
        needed = coming + now if read_ahead else max(coming, now)
        way = Way(read_ahead, sums_on_disk, used + round((1 + NOT_GIVEN_BACK) * needed))
        if way.host_bytes <= limit:
            break
    return way


def inference_bytes(stage: Stage, dataset: Description, image_shape: Sequence[int], device: torch.device | str) -> int:
    """Most bytes in use on the device while one network predicts an image.

    The network's weights, a window's pass through it, and the sums of those rows that windows overlap in; on a CPU the
    image as well.

    Args:
        stage: what predicts.
        dataset: its channels and labels.
        image_shape: voxels of the prepared image, (z, y, x).
        device: where; this machine need not have it.
    """
    device, channels = torch.device(device), input_channels(stage, dataset)
    padded = padded_shape(image_shape, stage)
    image = sum(math.prod(shape) for shape in {tuple(image_shape), padded}) if device.type == "cpu" else 0
    return FLOAT * channels * image + sums_bytes(stage, dataset, padded) + forward_bytes(stage, dataset, padded, device)


def sums_bytes(stage: Stage, dataset: Description, padded: Sequence[int]) -> int:
    """Bytes of the running sums and their weights."""
    rows = rows_held(padded, stage)
    floats = (dataset.labels.outputs + 1) * rows * padded[1] * padded[2] + math.prod(window_of(stage))
    return FLOAT * floats


def forward_bytes(stage: Stage, dataset: Description, padded: Sequence[int], device: torch.device) -> int:
    """Bytes of a network's weights and, at its peak, of the windows that pass through it at once."""
    at_once = windows_at_once(padded, stage)
    dtype = computing_type(device, stage.training.precision)
    # One view beside the first is enough: further ones take the memory of those before.
    views = views_of(stage.inference)[:2]
    bare, tracker = network_without_weights(stage, dataset).eval(), LiveBytes(device.type)
    with FakeTensorMode(allow_non_fake_inputs=True), tracker:
        network = Casting(with_fake_weights(bare), dtype, device)
        batch = torch.empty((at_once, input_channels(stage, dataset), *window_of(stage)))
        averaged([network], batch, views, stage, CPU)
    return tracker.peak
