"""Prepared cases on disk: compressed, chunked arrays that a patch is read from in milliseconds.

Comes in: the arrays of one case. Goes out: `PreparedCase`, a name and a folder, that opens them.

    FOLDER/                       one for all cases prepared alike, named by `prepared_key`; `previous_maps` adds to it
      NAME.image.b2nd             float32 (channels, z, y, x)
      NAME.labels.b2nd            int16 (1, z, y, x): class indices and IGNORE_CLASS
      NAME.locations.npz          "0", "1", … a target: int32 (n, 3); "annotated" with an ignore label
      NAME.json                   `Record`; written last: a case that has one is complete
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
from numpy.typing import NDArray

from autoseg.dataset.labels import Labels
from autoseg.errors import WorkspaceError
from autoseg.files import atomic_path, content_hash, read_frozen, write_json
from autoseg.geometry import Shape
from autoseg.phrases import quoted
from autoseg.plan.preprocessing import Preprocessing
from autoseg.preprocessing.arrays import damaged, open_array, write_array
from autoseg.preprocessing.locations import Locations
from autoseg.preprocessing.placement import Placement
from autoseg.preprocessing.record import FORMAT, Record, Refined, Source


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
        return open_array(self.image_path)

    def labels(self) -> blosc2.NDArray:
        """The map of classes on disk: int16 (1, z, y, x)."""
        return open_array(self.labels_path)

    def previous(self) -> blosc2.NDArray:
        """The previous stage's map of classes on disk: int16 (1, z, y, x)."""
        return open_array(self.previous_path)

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
        remedy = "Remove it and run `autoseg preprocess DATASET`."
        return read_frozen(Record, self.record_path, WorkspaceError, "a record of this version of autoseg", remedy)

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
        raise WorkspaceError(f"not prepared in {folder}: {quoted(absent)}. Run `autoseg preprocess DATASET`.")
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
