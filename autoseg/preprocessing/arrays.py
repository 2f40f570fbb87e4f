"""An array on disk: compressed, and divided so that a patch of it is read in milliseconds.

Comes in: an array (channels, z, y, x). Goes out: a b2nd file, and the array in it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
from numpy.typing import NDArray

from autoseg.errors import WorkspaceError
from autoseg.files import atomic_path
from autoseg.geometry import Shape
from autoseg.preprocessing.chunking import chunk_and_block

ONE_THREAD = {"nthreads": 1}  # cases are handled side by side; and the number is kept in the file


def write_array(target: Path, array: NDArray[Any], patch_size: Shape) -> None:
    """Writes an array (channels, z, y, x), divided for patches of a size.

    Raises:
        WorkspaceError: it cannot be written.
    """
    chunks, blocks = chunk_and_block(array.shape, patch_size, array.itemsize)
    compression = {"codec": blosc2.Codec.LZ4, "clevel": 5, "filters": [blosc2.Filter.SHUFFLE], **ONE_THREAD}
    stored_as = {"chunks": chunks, "blocks": blocks, "cparams": compression, "dparams": ONE_THREAD}
    with atomic_path(target, suffix=".b2nd", durable=False) as temporary:
        try:
            blosc2.asarray(np.ascontiguousarray(array), urlpath=str(temporary), mode="w", **stored_as)
        except RuntimeError as problem:  # all that blosc2 makes of a full disk
            raise WorkspaceError(
                f"{target}: cannot be written ({problem}): is the disk full? "
                "What is done is kept; run the same command again."
            ) from None


def open_array(path: Path) -> blosc2.NDArray:
    """An array of the store, to be read from disk where it is indexed.

    Raises:
        WorkspaceError: it cannot be read.
    """
    mapped = None if sys.platform == "win32" else "r"  # Windows lets nobody replace a mapped file
    try:
        return blosc2.open(str(path), mode="r", mmap_mode=mapped, dparams=ONE_THREAD)
    except (RuntimeError, OSError, ValueError):
        raise damaged(path) from None


def damaged(path: str | Path) -> WorkspaceError:
    """What is said of a file of the store that cannot be read."""
    return WorkspaceError(f"{path}: damaged. Remove it and run the same command again: the case is prepared anew.")
