"""The voxels of a NIfTI file, exactly as they are stored.

ITK, which reads everything else here, turns NaN into 0 in this format; and it reads a file that
was cut short as though it were whole, with whatever lay in memory for voxels. A CT with holes of
soft tissue, or a patient made of noise, would go into training without a word.

Comes in: a path. Goes out: an array; and the grid where the header leaves no doubt about it, which is a hundred
times quicker than ITK. All other grids are left to ITK.
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
from autoseg.geometry import Grid, is_voxel_size

NIFTI_ENDINGS = (".nii.gz", ".nii")

Order = Literal["<", ">"]

# the fields of the header that say where the voxels are and what they mean: name, type, place
FIELDS = [
    *(("length", "i4", 0), ("sizes", "8i2", 40), ("type", "i2", 70), ("spacings", "8f4", 76), ("first", "f4", 108)),
    *(("slope", "f4", 112), ("intercept", "f4", 116), ("units", "u1", 123), ("qform", "i2", 252), ("sform", "i2", 254)),
    *(("quaternion", "3f4", 256), ("offsets", "3f4", 268), ("affine", "(3,4)f4", 280), ("magic", "S4", 344)),
]
HEADER = np.dtype(
    dict(zip(("names", "formats", "offsets"), zip(*FIELDS, strict=True), strict=True)) | {"itemsize": 348}  # type: ignore[call-overload]
)
UNKNOWN, MILLIMETRES = 0, 2  # units
HALF_TURN = 1e-7  # a rotation's cosine, squared, below which it is one, up to rounding
SAME = 1e-4  # what two descriptions of one grid may differ by, in shares of a voxel
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


def plain_nifti_grid(path: Path) -> Grid | None:
    """The grid of a .nii or .nii.gz file of one 3-D volume whose axes run along the patient's.

    Returns:
        The grid, as ITK gives it; None where the file is none such, or describes its grid twice and differently.
    """
    try:
        header, _ = _header(_first_bytes(path))
    except (OSError, EOFError, zlib.error):
        return None
    if header is None or header["magic"] != b"n+1" or int(header["type"]) not in TYPES:
        return None
    if int(header["units"]) & 7 not in (UNKNOWN, MILLIMETRES) or header["sform"] <= 0:
        return None
    dimensions, *sizes = header["sizes"].tolist()[:4]
    spacings_mm, affine = header["spacings"][1:4].astype(float), header["affine"].astype(float)
    if dimensions != 3 or min(sizes) < 1 or not (np.isfinite(affine).all() and all(map(is_voxel_size, spacings_mm))):
        return None
    direction = affine[:, :3] / spacings_mm
    if not (np.isin(direction, (-1, 0, 1)).all() and np.array_equal(direction @ direction.T, np.eye(3))):
        return None
    apart = _quaternion_affine(header) - affine if header["qform"] > 0 else np.zeros(1)
    if not np.abs(apart).max() <= SAME * spacings_mm.min():
        return None
    to_lps = np.array([-1.0, -1.0, 1.0])  # NIfTI's axes run right, forwards, up
    return Grid(
        shape=(sizes[2], sizes[1], sizes[0]),
        spacing_mm=tuple(spacings_mm[::-1].tolist()),
        origin=tuple((affine[:, 3] * to_lps).tolist()),
        direction=tuple((direction * to_lps[:, None]).ravel().tolist()),
    )


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


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        start = file.read(2)
        file.seek(0)
        if start != b"\x1f\x8b":
            return file.read(HEADER.itemsize)
        with gzip.open(file) as decompressed:
            return decompressed.read(HEADER.itemsize)


def _quaternion_affine(header: np.void) -> NDArray[np.float64]:
    """The (3, 4) matrix that the header's other description of the grid stands for.

    Source: nifti1.h, method 2.
    """
    b, c, d = header["quaternion"].astype(float)
    squared = 1 - (b * b + c * c + d * d)
    if squared < HALF_TURN:
        b, c, d = header["quaternion"].astype(float) / math.sqrt(1 - squared)
    a = math.sqrt(squared) if squared >= HALF_TURN else 0.0
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    handed = np.array([1, 1, -1 if header["spacings"][0] < 0 else 1])
    columns = rotation * header["spacings"][1:4].astype(float) * handed
    return np.column_stack([columns, header["offsets"].astype(float)])


def _header(content: bytes) -> tuple[np.void | None, Order]:
    """The header, in the byte order that makes its length come out right."""
    orders: tuple[Order, ...] = ("<", ">")
    for order in orders if len(content) >= HEADER.itemsize else ():
        header: np.void = np.frombuffer(content, HEADER.newbyteorder(order), 1)[0]
        if header["length"] == HEADER.itemsize:
            return header, order
    return None, "<"
