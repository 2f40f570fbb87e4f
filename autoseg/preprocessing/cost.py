"""What preparing a case will cost, before a voxel is read.

Comes in: a case, the plan's `Preprocessing`. Goes out: bytes of memory and of disk; how many cases fit side by
side; a refusal where the disk has too little room.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from autoseg.dataset.dataset import Case
from autoseg.dataset.images import read_header
from autoseg.errors import DatasetError, WorkspaceError
from autoseg.phrases import counted
from autoseg.plan.preprocessing import Preprocessing
from autoseg.preprocessing.preparing import place
from autoseg.preprocessing.voxel_size import SLAB_BYTES

# Share of an array's bytes that it takes on disk. Measured: 0.89 and 0.03 on MR crops full of noise, 0.25 and 0.001
# on a CT with much air.
IMAGE_SHARE = 0.95
LABELS_SHARE = 0.1
CASE_BYTES = 2**20  # the sampled locations and the record of a case
PROCESS_BYTES = 300 * 10**6  # Python, its libraries and what they keep
MOST_HEADERS = 32  # that are read: 2 ms each
MEMORY_SHARE = 0.9  # of what is available that is taken


class Cost(NamedTuple):
    """Of preparing one case, at most.

    Attributes:
        memory_bytes: at the peak, of its process.
        disk_bytes: of its files.
        resampled: whether its voxel size changes.
    """

    memory_bytes: float
    disk_bytes: float
    resampled: bool = False


def predict_costs(cases: Sequence[Case], preprocessing: Preprocessing) -> list[Cost]:
    """Of many cases, from the headers of some: each stands for those whose files are a little smaller.

    Returns:
        As many as there are cases, in no order of theirs.
    """
    ranked = sorted(cases, key=_file_bytes, reverse=True)
    step = max(1, math.ceil(len(ranked) / MOST_HEADERS))
    groups = [ranked[first : first + step] for first in range(0, len(ranked), step)]
    return [cost for group in groups for cost in [case_cost(group[0], preprocessing)] * len(group)]


def case_cost(case: Case, preprocessing: Preprocessing) -> Cost:
    """Predicts from the header of the case's first image, as if nothing were cropped.

    Nothing for a file that cannot be read: who prepares the case says what is wrong with it.
    """
    try:
        grid = read_header(case.images[0]).grid
    except DatasetError:
        return Cost(0, 0)
    channels = len(preprocessing.normalisation)
    placement = place(grid, preprocessing)
    before, after = math.prod(grid.shape), math.prod(placement.shape)
    image = 4 * channels * after
    reading = 10 * channels * before  # as the file has it, and in float32
    preparing = 4 * (channels + 1) * before + 4 * before + image + SLAB_BYTES  # a channel normalised; the label map
    labelling = 4 * channels * before + 16 * before + image + 2 * after + SLAB_BYTES
    memory = PROCESS_BYTES + max(reading, preparing, labelling)
    disk = IMAGE_SHARE * image + LABELS_SHARE * 2 * after + CASE_BYTES
    return Cost(memory, disk, placement.shape != placement.cropped_shape)


def processes_that_fit(costs: Sequence[Cost], available_bytes: float) -> int:
    """How many of the cases that need most memory can be prepared at the same time; one at least.

    >>> processes_that_fit([Cost(2e9, 0), Cost(3e9, 0), Cost(1e9, 0)], available_bytes=6e9)
    2
    """
    largest = accumulate(sorted((cost.memory_bytes for cost in costs), reverse=True))
    return max(1, sum(total <= MEMORY_SHARE * available_bytes for total in largest))


def require_room(costs: Sequence[Cost], folder: Path) -> None:
    """Refuses to begin what the disk has no room for.

    Args:
        costs: of the cases that are not prepared yet.
        folder: where their files go; it need not be there.

    Raises:
        WorkspaceError: there is too little room.
    """
    there = next((path for path in (folder, *folder.absolute().parents) if path.is_dir()), Path())
    needed, free = sum(cost.disk_bytes for cost in costs), shutil.disk_usage(there).free
    if needed > free:
        raise WorkspaceError(
            f"{folder}: preparing {counted(len(costs), 'case')} takes about {_size(needed)} of disk, and {_size(free)} "
            "are free there. Make room, or give a workspace on another disk (-w DIR)."
        )


def _file_bytes(case: Case) -> int:
    return sum(path.stat().st_size for path in case.images if path.exists())


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
