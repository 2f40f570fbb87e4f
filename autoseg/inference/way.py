"""How a team predicts images in the memory there is.

Comes in: a team, jobs, a limit. Goes out: the `Way` that keeps below the limit for the largest image and every member;
of a prepared image, whether its sums go on a disk.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from autoseg.dataset.absurd import absurd_sizes
from autoseg.dataset.images import read_grid
from autoseg.errors import AutosegError, DatasetError
from autoseg.geometry import Grid
from autoseg.inference.jobs import Job
from autoseg.inference.memory import FLOAT, Way, find_way
from autoseg.inference.predictor import Predictor
from autoseg.inference.team import Team
from autoseg.memory import GIGABYTE, available_memory_bytes, resident_memory_bytes
from autoseg.phrases import by
from autoseg.plan.postprocessing import needs_probabilities
from autoseg.preprocessing import Placement, place

logger = logging.getLogger(__name__)

LITTLE = 0.05  # of the memory that is free: if all logits and probabilities take less, where they are does not matter


def choose_way(team: Team, jobs: Sequence[Job], max_memory_gb: float | None) -> Way:
    """How to predict, judged by the largest image; and tells what memory that takes.

    Args:
        team: that predicts.
        jobs: whose images these are.
        max_memory_gb: that this process may take; None takes what the machine has to spare.

    Raises:
        AutosegError: a limit was given, and it is too small.
    """
    sizes: dict[str, Grid] = {}
    for job in jobs:
        with suppress(DatasetError):  # it fails when its turn comes
            sizes[job.case.name] = read_grid(job.case.images[0])
    used = resident_memory_bytes()
    if not sizes:
        return Way(read_ahead=True, sums_on_disk=False, host_bytes=used)
    if absurd := absurd_sizes({name: grid.spacing_mm for name, grid in sizes.items()}):
        logger.warning("warning: %s", absurd)
    largest = max(sizes, key=lambda name: math.prod(sizes[name].shape))
    grid, limit = sizes[largest], used + available_memory_bytes() if max_memory_gb is None else max_memory_gb * GIGABYTE
    way = _way_for_all(team, grid, used, limit, several=len(jobs) > 1)
    what = f"{way.host_bytes / GIGABYTE:.1f} GB of memory at the peak ('{largest}', {by(grid.shape)} voxels)"
    if way.host_bytes > limit and max_memory_gb is not None:
        enough = math.ceil(way.host_bytes / GIGABYTE * 10) / 10
        cut = ", or cut the image to the part that matters" if way.host_bytes - used > used else ""
        raise AutosegError(
            f"--max-memory {max_memory_gb:g}: predicting takes {what} at least, {used / GIGABYTE:.1f} GB of them for "
            f"the program and the model. Allow it that much (--max-memory {enough:g}){cut}."
        )
    if way.host_bytes > limit:
        logger.warning("predicting is expected to take %s, and %.1f GB are free", what, limit / GIGABYTE)
    else:
        logger.info("predicting is expected to take %s", what)
    return way


def disk_if_needed(predictor: Predictor, placement: Placement, folder: Path) -> Path | None:
    """The folder on whose disk sums of logits are kept, if the memory that is free does not hold them; else None.

    Args:
        predictor: that predicts a prepared image, not yet read.
        placement: of the image.
        folder: on a disk with room.
    """
    used, dataset = resident_memory_bytes(), predictor.model.plan.dataset
    shapes, free = (placement.native_shape, placement.shape), available_memory_bytes()
    if FLOAT * dataset.labels.outputs * sum(map(math.prod, shapes)) < LITTLE * free:
        return None  # tracing the network, below, can take longer than predicting a small image
    limit = used + free
    if needs_probabilities(predictor.stage.postprocessing):
        used += FLOAT * dataset.labels.outputs * math.prod(placement.native_shape)
    way = find_way(predictor.stage, dataset, *shapes, predictor.device, used, limit, several=False)
    return folder if way.sums_on_disk else None


def _way_for_all(team: Team, grid: Grid, used: int, limit: float, several: bool) -> Way:
    """How all stages of all members keep below the limit, one after the other.

    While the stages before a member's own predict, the image is kept as its file has it; while other members do, as
    the first one sees it.
    """
    ways = []
    for member in team.members:
        for one in member.chain:
            dataset, prepared = one.model.plan.dataset, place(grid, one.stage.preprocessing).shape
            kept = 0 if one is member else FLOAT * len(dataset.channels) * math.prod(grid.shape)
            ways.append(find_way(one.stage, dataset, grid.shape, prepared, one.device, used + kept, limit, several))
        if member is team.members[0] and len(team.members) > 1:
            used += FLOAT * len(dataset.channels) * math.prod(prepared)
    return Way(
        read_ahead=all(way.read_ahead for way in ways),
        sums_on_disk=any(way.sums_on_disk for way in ways),
        host_bytes=max(way.host_bytes for way in ways),
    )
