"""Is a NIfTI file whole?

ITK reads a NIfTI file that was cut short, or whose compressed bytes changed, as though nothing
were wrong: the voxels that do not decode hold whatever lay in memory. So the bytes are counted,
and the checksum of the compression tested, before ITK is asked.

Comes in: a path. Goes out: nothing, or an error.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, cast

from autoseg.errors import DatasetError

LONGEST_HEADER = 540  # bytes, that of NIfTI-2
CHUNK = 1 << 20


def verify_nifti(path: Path) -> None:
    """Decodes a NIfTI file once from end to end; files of other formats pass untouched.

    Raises:
        DatasetError: the file ends early, or its compressed bytes are damaged.
    """
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        return
    try:
        with _opened(path) as file:
            header = file.read(LONGEST_HEADER)
            found = len(header)
            while chunk := file.read(CHUNK):
                found += len(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
        raise DatasetError(f"{path}: the compressed file is damaged ({_lower(problem)}). {_AGAIN}") from None
    expected = _declared_bytes(header)
    if found < expected:
        raise DatasetError(f"{path}: the file ends after {found} of {expected} bytes. {_AGAIN}")


_AGAIN = "It was probably not copied to its end: copy it again from its source."


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"  # some files are called .gz and are not
    return cast(BinaryIO, gzip.open(path)) if compressed else path.open("rb")


def _declared_bytes(header: bytes) -> int:
    """Header and voxels by what the header says; 0 where it is none of NIfTI, which ITK will find.

    Source: the NIfTI-1 and NIfTI-2 header files, https://nifti.nimh.nih.gov.
    """
    for order in "<>":
        if len(header) >= 348 and struct.unpack_from(order + "i", header)[0] == 348:
            sizes = struct.unpack_from(order + "8h", header, 40)
            (bits,) = struct.unpack_from(order + "h", header, 72)
            (offset,) = struct.unpack_from(order + "f", header, 108)
        elif len(header) >= 540 and struct.unpack_from(order + "i", header)[0] == 540:
            sizes = struct.unpack_from(order + "8q", header, 16)
            (bits,) = struct.unpack_from(order + "h", header, 14)
            (offset,) = struct.unpack_from(order + "q", header, 168)
        else:
            continue
        voxels = math.prod(sizes[1 : sizes[0] + 1])
        return int(offset) + int(voxels * bits) // 8
    return 0


def _lower(problem: Exception) -> str:
    text = str(problem)
    return text[:1].lower() + text[1:]
