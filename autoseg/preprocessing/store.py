"""Prepared cases on disk: compressed, chunked arrays that a patch is read from in milliseconds.

Comes in: the arrays of one case. Goes out: `PreparedCase`, a name and a folder, that opens them.

    FOLDER/                       one for all cases prepared alike, named by `prepared_key`; `previous_maps` adds to it
      NAME.image.b2nd             float32 (channels, z, y, x)
      NAME.labels.b2nd            int16 (1, z, y, x): class indices and IGNORE_CLASS
      NAME.locations.npz          "0", "1", … a target: int32 (n, 3); "annotated" with an ignore label
      NAME.json                   `Record`; written last: a case that has one is complete
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import blosc2
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from autoseg.dataset.labels import Labels
from autoseg.errors import WorkspaceError
from autoseg.files import atomic_path, content_hash, read_json, write_json
from autoseg.frozen import Frozen
from autoseg.geometry import Shape
from autoseg.plan.preprocessing import Preprocessing
from autoseg.preprocessing.chunking import chunk_and_block
from autoseg.preprocessing.locations import Locations
from autoseg.preprocessing.placement import Placement

FORMAT: Final = 4
ONE_THREAD = {"nthreads": 1}  # cases are handled side by side; and the number is kept in the file


class Source(Frozen):
    """A file a case was prepared from, as it was then.

    Attributes:
        path: absolute.
        size: bytes.
        modified_ns: time of its last change, nanoseconds since 1970.
        sha256: of its content; the same where a file was only copied or touched.
    """

    path: str
    size: int
    modified_ns: int
    sha256: str


class Refined(Frozen):
    """What a previous stage's prediction made of a case.

    Attributes:
        prediction: the file.
        found: whether all that was looked for was predicted.
        voxels: of each target, in the label map.
        outside: those of them that the prepared image does not show.
        covering_mm: the least size of a box of fixed size that shows all; None where there is none.
    """

    prediction: Source
    found: bool
    voxels: dict[str, int]
    outside: dict[str, int]
    covering_mm: tuple[float, float, float] | None


class Record(Frozen):
    """What a prepared case was made from, and how it lies on its image.

    Attributes:
        format: version of the files of a case.
        sources: the image files, then the label map.
        shape: of the prepared image, (channels, z, y, x).
        located: for each of `labels.targets`, how many of its voxels `locations` holds; 0 where the
            case has none of it.
        sizes: bytes of the files of image, labels and locations: they are not waited for when they are written,
            and a power cut may shorten them.
        placement: of the prepared image on the file's grid.
        refined: how a previous stage's prediction cropped or masked it, if one did.
    """

    format: Literal[4] = FORMAT
    sources: tuple[Source, ...]
    shape: tuple[int, int, int, int]
    located: tuple[int, ...]
    sizes: tuple[int, int, int]
    placement: Placement
    refined: Refined | None = None


@dataclass(frozen=True)
class PreparedCase:
    """A case in the store. Opens its files anew each time it is asked, so it is cheap to send to a process.

    Attributes:
        name: of the case.
        folder: where its files lie.
        maps: where the previous stage's prediction lies as a map of classes, where that is looked at.
    """

    name: str
    folder: Path
    maps: Path | None = None

    def image(self) -> blosc2.NDArray:
        """The image on disk: float32 (channels, z, y, x)."""
        return _open(self.image_path)

    def labels(self) -> blosc2.NDArray:
        """The map of classes on disk: int16 (1, z, y, x)."""
        return _open(self.labels_path)

    def previous(self) -> blosc2.NDArray:
        """The previous stage's map of classes on disk: int16 (1, z, y, x)."""
        return _open(self.previous_path)

    def locations(self) -> Locations:
        """Voxels of every target."""
        try:
            with self.locations_path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays = dict(stored)
            annotated = arrays.pop("annotated", None)
            return Locations(tuple(arrays[str(index)] for index in range(len(arrays))), annotated)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            raise damaged(self.locations_path) from None

    def sizes(self) -> tuple[int, int, int]:
        """Bytes of the files of image, labels and locations (OSError where one is absent)."""
        image, labels, locations = self.image_path, self.labels_path, self.locations_path
        return image.stat().st_size, labels.stat().st_size, locations.stat().st_size

    @property
    def record(self) -> Record:
        """What the case was made from.

        Raises:
            WorkspaceError: the case is not complete, or another version of autoseg wrote it.
        """
        try:
            return Record.model_validate(read_json(self.record_path, WorkspaceError))
        except ValidationError:
            raise WorkspaceError(
                f"{self.record_path}: not a record of this version of autoseg. "
                f"Remove it and run `autoseg preprocess DATASET`."
            ) from None

    @property
    def placement(self) -> Placement:
        """Where the arrays lie on the image."""
        return self.record.placement

    @property
    def image_path(self) -> Path:
        """NAME.image.b2nd."""
        return self.folder / f"{self.name}.image.b2nd"

    @property
    def labels_path(self) -> Path:
        """NAME.labels.b2nd."""
        return self.folder / f"{self.name}.labels.b2nd"

    @property
    def previous_path(self) -> Path:
        """NAME.previous.b2nd."""
        assert self.maps is not None
        return self.maps / f"{self.name}.previous.b2nd"

    @property
    def locations_path(self) -> Path:
        """NAME.locations.npz."""
        return self.folder / f"{self.name}.locations.npz"

    @property
    def record_path(self) -> Path:
        """NAME.json."""
        return self.folder / f"{self.name}.json"


def prepared_key(preprocessing: Preprocessing, labels: Labels, previous: Mapping[str, Any] | None = None) -> str:
    """Names the folder of all cases that are prepared alike, whatever plan asks for it.

    Names of labels and the patch size are no part of it: they do not change the arrays.

    Args:
        preprocessing: the plan's.
        labels: of the dataset.
        previous: how images are cropped or masked by whose predictions, as JSON; None where they are not.
    """
    return content_hash(
        {
            **({} if previous is None else {"previous": previous}),
            "format": FORMAT,
            "preprocessing": preprocessing.model_dump(mode="json"),
            "classes": labels.classes,
            "targets": list(labels.target_classes.values()),
            "ignore": labels.ignore,
        }
    )


def open_prepared(folder: Path, names: Sequence[str], maps: Path | None = None) -> list[PreparedCase]:
    """Finds prepared cases.

    Args:
        folder: where `prepare_dataset` put them.
        names: of the cases.
        maps: where it put the previous stage's predictions, where those are looked at.

    Raises:
        WorkspaceError: a case is not there, or not complete.
    """
    cases = [PreparedCase(name, folder, maps) for name in names]
    absent = [
        case.name
        for case in cases
        if not case.record_path.exists() or (maps is not None and not case.previous_path.exists())
    ]
    if absent:
        others = f" (and {len(absent) - 1} more)" if len(absent) > 1 else ""
        raise WorkspaceError(
            f"case '{absent[0]}'{others} is not prepared in {folder}; run `autoseg preprocess DATASET`."
        )
    return cases


def write_prepared(
    case: PreparedCase,
    image: NDArray[np.float32],
    class_map: NDArray[np.int16],
    locations: Locations,
    sources: tuple[Source, ...],
    placement: Placement,
    patch_size: Shape,
    refined: Refined | None = None,
) -> None:
    """Writes the files of a case, the record last: killed at any instant, the case is whole or not there.

    Args:
        case: name and folder.
        image: (channels, z, y, x).
        class_map: (z, y, x).
        locations: of the targets in `class_map`.
        sources: what the case was prepared from.
        placement: of the prepared image.
        patch_size: what the arrays are divided for on disk.
        refined: how a previous stage's prediction cropped or masked the image, if one did.

    Raises:
        WorkspaceError: an array cannot be written.
        OSError: a file cannot be written.
    """
    case.record_path.unlink(missing_ok=True)
    write_array(case.image_path, image, patch_size)
    write_array(case.labels_path, class_map[None], patch_size)
    _write_locations(case.locations_path, locations)
    record = Record(
        sources=sources,
        shape=(len(image), *placement.shape),
        located=tuple(len(voxels) for voxels in locations.targets),
        sizes=case.sizes(),
        placement=placement,
        refined=refined,
    )
    update_record(case, record)


def update_record(case: PreparedCase, record: Record) -> None:
    """Writes the record of a case whose other files are there."""
    write_json(case.record_path, record.model_dump(mode="json"), durable=False)


def _write_locations(target: Path, locations: Locations) -> None:
    arrays: dict[str, Any] = {str(index): voxels for index, voxels in enumerate(locations.targets)}
    if locations.annotated is not None:
        arrays["annotated"] = locations.annotated
    with atomic_path(target, suffix=".npz", durable=False) as temporary:
        np.savez(temporary, **arrays)


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


def _open(path: Path) -> blosc2.NDArray:
    mapped = None if sys.platform == "win32" else "r"  # Windows lets nobody replace a mapped file
    try:
        return blosc2.open(str(path), mode="r", mmap_mode=mapped, dparams=ONE_THREAD)
    except (RuntimeError, OSError, ValueError):
        raise damaged(path) from None


def damaged(path: str | Path) -> WorkspaceError:
    """What is said of a file of the store that cannot be read."""
    return WorkspaceError(f"{path}: damaged. Remove it and run the same command again: the case is prepared anew.")
