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

Order = Literal["<", ">"]

TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}


def read_nifti(path: Path) -> NDArray[Any] | None:
    """Reads the voxels of a .nii or .nii.gz file.

    Returns:
        The voxels in the order they lie in the file, x fastest, as one flat array that may be
        read-only; in the stored type, or in float64 where the header scales them. None where
        the file is not NIfTI, or its voxels are colours or complex numbers.

    Raises:
        DatasetError: the file ends early, or its compressed bytes are damaged.

    Source: nifti1.h and nifti2.h, https://nifti.nimh.nih.gov.
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


_AGAIN = "It was probably not copied to its end: copy it again from its source."


def _decompressed(path: Path) -> bytes:
    content = path.read_bytes()
    if content[:2] != b"\x1f\x8b":  # some files are called .gz and are not
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
        reason = str(problem)[:1].lower() + str(problem)[1:]
        raise DatasetError(f"{path}: the compressed file is damaged ({reason}). {_AGAIN}") from None


def _layout(length: int, **fields: tuple[str, int]) -> np.dtype[np.void]:
    formats, offsets = zip(*fields.values(), strict=True)
    return np.dtype({"names": list(fields), "formats": formats, "offsets": offsets, "itemsize": length})


# those fields of the header that say where the voxels are and what they mean: (type, first byte)
NIFTI_1 = _layout(
    348,
    length=("i4", 0),
    type=("i2", 70),
    sizes=("8i2", 40),
    first=("f4", 108),
    slope=("f4", 112),
    intercept=("f4", 116),
)
NIFTI_2 = _layout(
    540,
    length=("i4", 0),
    type=("i2", 12),
    sizes=("8i8", 16),
    first=("i8", 168),
    slope=("f8", 176),
    intercept=("f8", 184),
)


def _header(content: bytes) -> tuple[np.void | None, Order]:
    """The header in whichever version and byte order makes its length come out right."""
    orders: tuple[Order, ...] = ("<", ">")
    for layout in (NIFTI_1, NIFTI_2):
        for order in orders:
            if len(content) >= layout.itemsize:
                header: np.void = np.frombuffer(content, layout.newbyteorder(order), 1)[0]
                if header["length"] == layout.itemsize:
                    return header, order
    return None, "<"
