"""Whether this build of torch is slow where it should be quick.

Comes in: a device and the type a network computes in. Goes out: a warning where a convolution of a volume takes much
longer under autocast than in float32, as in torch 2.9.0 (https://github.com/pytorch/pytorch/issues/166122).
"""

from __future__ import annotations

import logging
import time

import torch
from torch import nn

from autoseg.networks.devices import autocast_to, wait_for

logger = logging.getLogger(__name__)

SLOWER = 2.0  # times as long as in float32, from which it is worth a word; it should take half as long
CHANNELS, SIZE, TRIES = 16, 32, 3  # of the convolution; the quickest try counts, for others may use the machine


def warn_of_slow_autocast(device: torch.device, dtype: torch.dtype) -> None:
    """Times one small convolution in both types, forward; takes some milliseconds."""
    if dtype == torch.float32:
        return
    reduced, full = (convolution_seconds(device, one) for one in (dtype, torch.float32))
    if reduced > SLOWER * full:
        name = str(dtype).removeprefix("torch.")
        logger.warning(
            "warning: torch %s takes %.1f times as long for a convolution of a volume in %s as in float32 on this %s. "
            "Install another version of torch, or train in float32 (--set stages.*.training.precision=float32)",
            torch.__version__,
            reduced / full,
            name,
            device.type,
        )


@torch.no_grad()
def convolution_seconds(device: torch.device, dtype: torch.dtype) -> float:
    """The quickest of some tries."""
    with torch.random.fork_rng(devices=[]):
        convolution = nn.Conv3d(CHANNELS, CHANNELS, 3, padding=1).to(device)
    volume = torch.ones((1, CHANNELS, SIZE, SIZE, SIZE), device=device)
    found = []
    with autocast_to(device, dtype):
        for _ in range(1 + TRIES):
            wait_for(device)
            started = time.perf_counter()
            convolution(volume)
            wait_for(device)
            found.append(time.perf_counter() - started)
    return min(found[1:])
