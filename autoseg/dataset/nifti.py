"""The voxels of a NIfTI file, exactly as they are stored.

ITK, which reads everything else here, turns NaN into 0 in this format; and it reads a file that
was cut short as though it were whole, with whatever lay in memory for voxels. A CT with holes of
soft tissue, or a patient made of noise, would go into training without a word.

Comes in: a path. Goes out: an array. The grid is left to ITK.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from autoseg.errors import DatasetError

NIFTI_ENDINGS = (".nii.gz", ".nii")

Order = Literal["<", ">"]

# the fields of the header that say where the voxels are and what they mean
HEADER = np.dtype(
    {
        "names": ["length", "sizes", "type", "first", "slope", "intercept"],
        "formats": ["i4", "8i2", "i2", "f4", "f4", "f4"],
        "offsets": [0, 40, 70, 108, 112, 116],
        "itemsize": 348,
    }
)
TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}


def read_nifti(path: Path) -> NDArray[Any] | None:
    """Reads the voxels of a .nii or .nii.gz file.

    Returns:
        The voxels in the order they lie in the file, x fastest, as one flat array that may be
        read-only; in the stored type, or in float64 where the header scales them. None where
        the file is not NIfTI, or its voxels are colours or complex numbers.

    Raises:
        DatasetError: the file ends early, or its compressed bytes are damaged.

    Source: nifti1.h, https://nifti.nimh.nih.gov. (ITK reads no NIfTI-2.)
    """
    content = _decompressed(path)
    header, order = _header(content)
    if header is None or int(header["type"]) not in TYPES:
        return None
    stored = np.dtype(TYPES[int(header["type"])]).newbyteorder(order)
    first, sizes = int(header["first"]), header["sizes"].tolist()
    count = math.prod(sizes[1 : sizes[0] + 1])
    if len(content) < (expected := first + count * stored.itemsize):
        raise DatasetError(f"{path}: the file ends after {len(content)} of {expected} bytes. {_AGAIN}")
    voxels: NDArray[Any] = np.frombuffer(content, stored, count, first)
    slope, intercept = float(header["slope"]), float(header["intercept"])
    if slope == 0 or not math.isfinite(slope) or (slope, intercept) == (1, 0):
        return voxels
    return voxels * np.float64(slope) + intercept


def is_whole(path: Path) -> bool:
    """Whether all voxels of a file of known type are there: ITK says nothing when the disk fills up while it writes."""
    try:
        return read_nifti(path) is not None
    except DatasetError:
        return False


_AGAIN = "It was probably not copied to its end: copy it again from its source."


def _decompressed(path: Path) -> bytes:
    content = path.read_bytes()
    if content[:2] != b"\x1f\x8b":  # some files are called .gz and are not
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
        reason = str(problem).removesuffix(".")
        raise DatasetError(f"{path}: the compressed file is damaged ({reason}). {_AGAIN}") from None


def _header(content: bytes) -> tuple[np.void | None, Order]:
    """The header, in the byte order that makes its length come out right."""
    orders: tuple[Order, ...] = ("<", ">")
    for order in orders if len(content) >= HEADER.itemsize else ():
        header: np.void = np.frombuffer(content, HEADER.newbyteorder(order), 1)[0]
        if header["length"] == HEADER.itemsize:
            return header, order
    return None, "<"
