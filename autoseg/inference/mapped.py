"""Arrays in files, mapped into memory: as large as the disk allows, and in memory only while they are touched.

Comes in: a folder, a shape. Goes out: an array whose file is gone when it is no longer needed.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.errors import AutosegError
from autoseg.memory import GIGABYTE


@contextmanager
def mapped_array(
    folder: Path, shape: Sequence[int], dtype: type[np.floating[Any]] = np.float32
) -> Iterator[NDArray[Any]]:
    """Zeros in a file without a name.

    Args:
        folder: on whose disk the file is; it leaves nothing there, even if the process is killed.
        shape: of the array.
        dtype: of the array.

    Raises:
        AutosegError: the disk is too small.
    """
    size = np.dtype(dtype).itemsize * math.prod(shape)
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            # All of it at once: on a disk that fills up later, writing into memory would end the process.
            os.posix_fallocate(file.fileno(), 0, size) if hasattr(os, "posix_fallocate") else file.truncate(size)
        except OSError as problem:
            raise AutosegError(
                f"{folder}: no room for {size / GIGABYTE:.1f} GB that do not fit the memory ({problem.strerror}). Make "
                "room there, or give another output folder."
            ) from None
        yield np.memmap(file, dtype=dtype, mode="r+", shape=tuple(shape))


def release(array: NDArray[Any]) -> None:
    """Lets go of the memory of an array in a file; what it holds stays in the file. Other arrays stay as they are."""
    mapping = getattr(array, "_mmap", None)
    if isinstance(mapping, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapping.flush()
        mapping.madvise(mmap.MADV_DONTNEED)
