"""Reading and writing images: NIfTI, NRRD, MHA, PNG, TIFF, through SimpleITK (but see nifti.py).

Comes in: paths. Goes out: `Image`, a (channels, z, y, x) array with its grid; and label maps,
(z, y, x) arrays of integers, read and written on the same grid.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from autoseg.dataset.mismatch import Part, describe_mismatch
from autoseg.dataset.nifti import NIFTI_ENDINGS, is_whole, plain_nifti_grid, read_nifti
from autoseg.errors import DatasetError
from autoseg.files import atomic_path
from autoseg.geometry import COARSEST_MM, FINEST_MM, Grid, is_voxel_size

IMAGE_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".png", ".tif", ".tiff")
FLAT = 1e-3  # determinant of direction cosines, 1 of axes at right angles, below which two of them fall together


class Image(NamedTuple):
    """An image in memory.

    Attributes:
        array: (channels, z, y, x), float32, in the file's own intensities.
        grid: where the voxels lie.
    """

    array: NDArray[np.float32]
    grid: Grid


class Header(NamedTuple):
    """What an image file says of itself before its voxels are read.

    Attributes:
        grid: where the voxels lie.
        channels: how many the file holds.
    """

    grid: Grid
    channels: int


def read_image(*paths: str | Path) -> Image:
    """Reads an image: one file, or several whose channels are stacked in the order given.

    A 4-D file (Medical Segmentation Decathlon) and a picture or volume of vectors (RGB) give
    several channels. The transparency of a PNG is not an intensity: it is dropped.

    Raises:
        DatasetError: a file is absent, damaged or no image, a voxel is NaN or infinite, or the
            files lie on different grids.
    """
    read = [_read(Path(path)) for path in paths]
    parts = [Part(f"channel {i}", Path(paths[i]), grid) for i, (_, grid) in enumerate(read)]
    if mismatch := describe_mismatch("channels", parts):
        raise DatasetError(f"{mismatch}\nResample the channels onto one grid.")
    for part, (array, _) in zip(parts, read, strict=True):
        _refuse_infinite(array, part.path)
    # one copy, also of a single file
    return Image(np.concatenate([array for array, _ in read], dtype=np.float32, casting="unsafe"), parts[0].grid)


def read_label_map(path: str | Path) -> tuple[NDArray[np.integer], Grid]:
    """Reads a label map.

    Returns:
        The map, (z, y, x), in the file's integer type; a map stored as floating point becomes
        int32. And its grid.

    Raises:
        DatasetError: as `read_image`; or the file holds several channels, or a value that is not
            a whole number.
    """
    path = Path(path)
    array, grid = _read(path)
    if len(array) != 1:
        raise DatasetError(
            f"{path}: {len(array)} channels, but a label map has one. Store it as one channel of whole numbers."
        )
    return _integers(array[0], path), grid


def read_header(path: str | Path) -> Header:
    """Grid and number of channels, without reading a voxel.

    Raises:
        DatasetError: the file is absent or no image.
    """
    path = _existing(Path(path))
    if path.name.lower().endswith(NIFTI_ENDINGS) and (plain := plain_nifti_grid(path)):
        return Header(plain, 1)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    with _itk(path, "cannot be read as an image"):
        reader.ReadImageInformation()
    size, spacing_mm, vectors = reader.GetSize(), reader.GetSpacing(), reader.GetNumberOfComponents()
    dimensions = len(size)
    if dimensions not in (2, 3, 4) or (dimensions == 4 and vectors > 1):
        of = f" of vectors of {vectors}" if vectors > 1 else ""
        raise DatasetError(
            f"{path}: an image of {dimensions} dimensions{of}. Store each channel as a 2-D or 3-D image of its own."
        )
    if vectors == 4 and path.suffix.lower() == ".png":
        vectors = 3  # the fourth is transparency
    spatial = min(dimensions, 3)
    if not all(map(is_voxel_size, spacing_mm[:spatial])):
        found = " × ".join(f"{size_mm:g}" for size_mm in spacing_mm[:spatial])
        raise DatasetError(
            f"{path}: voxels of {found} mm. Correct the spacing in the file's header: it lies between {FINEST_MM:g} "
            f"and {COARSEST_MM:g}."
        )
    direction = np.reshape(reader.GetDirection(), (dimensions, dimensions))[:spatial, :spatial]
    if not np.isfinite(direction).all() or not np.isfinite(reader.GetOrigin()).all():
        raise DatasetError(
            f"{path}: the header's axes or origin are not finite numbers (direction {direction.ravel().tolist()}, "
            f"origin {list(reader.GetOrigin())}). Mend the header, or leave the image out."
        )
    if abs(float(np.linalg.det(direction))) < FLAT:
        raise DatasetError(
            f"{path}: the header's axes span no volume (direction {direction.ravel().tolist()}). Mend the header, or "
            "leave the image out."
        )
    grid = Grid(
        shape=(*(1,) * (3 - spatial), *size[:spatial][::-1]),
        spacing_mm=(*(1.0,) * (3 - spatial), *spacing_mm[:spatial][::-1]),
        origin=tuple(reader.GetOrigin()[:spatial]),
        direction=tuple(direction.ravel().tolist()),
        dimensions=spatial,
    )
    return Header(grid, size[3] if dimensions == 4 else vectors)


def read_grid(path: str | Path) -> Grid:
    """Where an image's voxels lie, without reading one.

    Raises:
        DatasetError: the file is absent or no image.
    """
    return read_header(path).grid


def write_label_map(path: str | Path, label_map: NDArray[np.integer], grid: Grid) -> None:
    """Writes a label map, atomically and compressed.

    Args:
        path: the file; its ending chooses the format.
        label_map: (z, y, x); its integer type is kept.
        grid: of the image it belongs to. A 2-D grid gives a 2-D file.

    Raises:
        DatasetError: the ending is unknown, its format cannot hold such an array, or the file
            cannot be written whole.
    """
    write_image(path, label_map, grid)


def write_image(path: str | Path, volume: NDArray[Any], grid: Grid) -> None:
    """Writes an image of one channel, (z, y, x), as `write_label_map` does."""
    path = Path(path)
    if volume.shape != grid.shape:
        raise ValueError(f"array of shape {volume.shape} for a grid of shape {grid.shape}")
    _, ending = split_ending(path.name)
    if not ending:
        raise DatasetError(f"{path}: no image format has this ending. Use one of {', '.join(IMAGE_ENDINGS)}.")
    if ending.lower() == ".png" and grid.dimensions == 3:  # ITK would write the first slice and say nothing
        raise DatasetError(f"{path}: a PNG file cannot hold a volume ({grid}). Use .nii.gz.")
    image = sitk.GetImageFromArray(volume[0] if grid.dimensions == 2 else volume)
    image.SetSpacing(grid.spacing_mm[::-1][: grid.dimensions])
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction)
    remedy = f"Is the disk full, the folder writable? Can the format hold {volume.dtype}?"
    with atomic_path(path, ending) as temporary:
        with _itk(path, "cannot be written", remedy):
            sitk.WriteImage(image, str(temporary), useCompression=True)
        if ending.lower() in NIFTI_ENDINGS and not is_whole(temporary):
            raise DatasetError(f"{path}: cannot be written (less arrived on the disk than was sent). {remedy}")


def split_ending(filename: str) -> tuple[str, str]:
    """The name of an image file without its ending, and the ending; that is "" where no format has it.

    >>> split_ending("liver_0.nii.gz"), split_ending("README.md")
    (('liver_0', '.nii.gz'), ('README.md', ''))
    """
    for ending in IMAGE_ENDINGS:
        if filename.lower().endswith(ending):
            return filename[: -len(ending)], filename[-len(ending) :]
    return filename, ""


def named_like(name: str, file: Path) -> str:
    """The name of a case's file that has the ending of another.

    >>> named_like("case_1", Path("labelsTr/liver_0.nii.gz"))
    'case_1.nii.gz'
    """
    return name + split_ending(file.name)[1]


def _read(path: Path) -> tuple[NDArray[Any], Grid]:
    """The voxels of one file, (channels, z, y, x) in the file's type, perhaps read-only, and their grid."""
    grid, channels = read_header(path)
    array = read_nifti(path) if path.name.lower().endswith(NIFTI_ENDINGS) else None
    if array is None:
        with _itk(path, "cannot be read as an image"):
            image = sitk.ReadImage(str(path))
        array = sitk.GetArrayFromImage(image)
        if image.GetNumberOfComponentsPerPixel() > 1:
            array = np.moveaxis(array, -1, 0)[:channels]  # without the transparency
    return array.reshape(channels, *grid.shape), grid


def _refuse_infinite(array: NDArray[Any], path: Path) -> None:
    if not np.issubdtype(array.dtype, np.floating):
        return
    bad = [channel.size - int(np.count_nonzero(np.isfinite(channel))) for channel in array]
    if any(bad):
        found = ", ".join(f"{count} in channel {number}" for number, count in enumerate(bad) if count)
        raise DatasetError(
            f"{path}: {sum(bad)} voxel{'s are' if sum(bad) > 1 else ' is'} NaN or infinite ({found}). "
            "Replace them by the value of the background."
        )


def _integers(label_map: NDArray[Any], path: Path) -> NDArray[np.integer]:
    if np.issubdtype(label_map.dtype, np.integer):
        return label_map.astype(label_map.dtype.newbyteorder("="))
    with np.errstate(invalid="ignore"):
        whole = label_map.astype(np.int32)
    wrong = label_map[whole != label_map]  # NaN and infinity, too, equal no integer
    if wrong.size and float(wrong[0]).is_integer():
        raise DatasetError(
            f"{path}: the label map holds {wrong[0]:g}, which is too large for a label. "
            "Give labels numbers of 32 bits, there and in dataset.json, and store integers."
        )
    if wrong.size:
        raise DatasetError(
            f"{path}: the label map holds {wrong[0]:g}, which is not a whole number ({wrong.size} "
            f"voxel{'s are' if wrong.size > 1 else ' is'} not). "
            "Resample label maps by nearest neighbour only, and store integers."
        )
    return whole


def _existing(path: Path) -> Path:
    if not path.is_file():
        found = "a folder, not an image file" if path.is_dir() else "no such file"
        raise DatasetError(f"{path}: {found}. Give the path of an image.")
    return path


@contextmanager
def _itk(path: Path, problem: str, remedy: str = "") -> Iterator[None]:
    """Keeps ITK's warnings off the console and turns its exceptions into a `DatasetError`."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    except RuntimeError as said:
        raise DatasetError(f"{path}: {problem} ({_short(str(said))}). {remedy or _remedy(str(said))}") from None
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def _short(said: str) -> str:
    """What ITK said, without where in its source it said so."""
    reason = " ".join(re.split(r"ERROR:|\.[ch]xx:\d+:", said)[-1].split())
    return re.sub(r'^\w+\(0x[0-9a-f]+\): | for ".*"$', "", reason)[:160].rstrip(". ")


def _remedy(said: str) -> str:
    if "orthonormal" in said:
        return "The axes of the file are not at right angles: resample it onto a grid whose axes are."
    return "The file is damaged or of another format: copy it again from its source, or convert it."
