"""nnU-Net's own fingerprint, for those who come from there.

    dataset.json                 channel_names, labels, numTraining; for regions, also regions_class_order
    dataset_fingerprint.json     spacings, shapes_after_crop, foreground_intensity_properties_per_channel,
                                 median_relative_size_after_cropping

Comes in: a folder with both files and no images. Goes out: a `Fingerprint`; or an error that names
the file and the field.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoseg.dataset.dataset_json import DatasetJson
from autoseg.dataset.nnunet import FINGERPRINT_FILE, describe_nnunet, holds_fingerprint_only
from autoseg.errors import DatasetError
from autoseg.files import read_json
from autoseg.fingerprint.model import CaseFacts, Fingerprint, Intensities
from autoseg.geometry import COARSEST_MM, FINEST_MM, LONGEST_AXIS

Triple = tuple[float, float, float]

_INTENSITIES = "foreground_intensity_properties_per_channel"
_KEPT = "median_relative_size_after_cropping"


def is_nnunet_fingerprint_folder(path: str | Path) -> bool:
    """Whether a folder holds nnU-Net's dataset.json and dataset_fingerprint.json, but no images and no label maps.

    Raises:
        DatasetError: dataset.json is not JSON, or JSON of another kind.
    """
    return holds_fingerprint_only(Path(path))


def read_nnunet_fingerprint(folder: str | Path) -> Fingerprint:
    """The facts nnU-Net measured, as far as plans need them.

    Pictures stay as nnU-Net has them: one slice, 999 mm thick. What its file does not tell is left
    open: names, orientations, and what is known of each label. nnU-Net counts voxels that nobody
    annotated as foreground (see `Intensities`).

    Raises:
        DatasetError: a file is absent or not JSON, or a field is missing, has another type or
            number of entries than it should, or holds what cannot be measured.
    """
    folder = Path(folder)
    json = DatasetJson.read(folder)
    description, faults = describe_nnunet(json)
    if faults:
        raise DatasetError("\n".join(faults))
    if below := [name for name, value in description.labels.values.items() if value < 0]:
        raise json.fault(
            "labels",
            f"gives '{below[0]}' the value {description.labels.values[below[0]]}. nnU-Net takes none below 0, so its "
            "fingerprint is of another dataset: correct the value, or give the folder that holds the label maps.",
        )
    measured = _Measured.read(folder / FINGERPRINT_FILE)
    spacings_mm = measured.triples("spacings", least=FINEST_MM, most=COARSEST_MM)
    shapes = measured.triples("shapes_after_crop", least=1, most=LONGEST_AXIS)
    if len(spacings_mm) != len(shapes):
        raise measured.fault("shapes_after_crop", f"has {len(shapes)} entries, and 'spacings' has {len(spacings_mm)}")
    declared = json.declared_cases
    if declared is not None and declared != len(shapes):
        raise DatasetError(
            f"{folder}: dataset.json announces {declared} training cases (numTraining), {FINGERPRINT_FILE} has "
            f"{len(shapes)}. They belong to different states of the dataset: take both files from the same one."
        )
    kept = measured.number(_KEPT, measured.get(_KEPT), above=0)
    if kept > 1:
        raise measured.fault(_KEPT, f"is a share of the voxels, 1 at most, and not {kept:g}")
    return Fingerprint(
        dataset=description,
        cases=tuple(
            _case(place, spacing_mm, shape, kept)
            for place, (spacing_mm, shape) in enumerate(zip(spacings_mm, measured.whole(shapes), strict=True))
        ),
        intensities=measured.intensities(len(description.channels)),
        median_relative_size=kept,
        labels={},
    )


def _case(place: int, spacing_mm: Triple, shape: tuple[int, int, int], kept: float) -> CaseFacts:
    return CaseFacts(
        name=f"entry {place}",
        shape=shape,  # that before the crop is not in the file
        spacing_mm=spacing_mm,
        shape_after_crop=shape,
        relative_size=kept,
        orientation=None,
    )


@dataclass(frozen=True)
class _Measured:
    """dataset_fingerprint.json, each field tested where it is read."""

    path: Path
    content: dict[str, Any]

    @staticmethod
    def read(path: Path) -> _Measured:
        content = read_json(path, DatasetError)
        if not isinstance(content, dict):
            raise DatasetError(f"{path}: must hold an object {{…}}, not {str(content)[:80]}.")
        return _Measured(path, content)

    def fault(self, field: str, problem: str) -> DatasetError:
        return DatasetError(
            f"{self.path}: field '{field}' {problem}. Copy the file again, or let nnU-Net measure the dataset again "
            "(nnUNetv2_extract_fingerprint)."
        )

    def get(self, field: str) -> Any:
        if field not in self.content:
            raise self.fault(field, "is missing")
        return self.content[field]

    def number(self, field: str, value: Any, above: float = -math.inf) -> float:
        """A finite number, and above a bound."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= above:
            wanted = "a number" if above == -math.inf else f"a number above {above:g}"
            raise self.fault(field, f"must hold {wanted}, not {str(value)[:80]}")
        return float(value)

    def triples(self, field: str, least: float, most: float) -> list[Triple]:
        """A list of three numbers a case, (z, y, x), between bounds that are above 0."""
        entries = self.get(field)
        if not isinstance(entries, list) or not entries:
            raise self.fault(field, f"must be a list of one entry a case, not {str(entries)[:80]}")
        triples = []
        for place, entry in enumerate(entries):
            where = f"{field}.{place}"
            if not isinstance(entry, list) or len(entry) != 3:
                raise self.fault(where, f"must be three numbers, not {str(entry)[:80]}")
            z, y, x = (self.number(where, value, above=0) for value in entry)
            if beyond := [value for value in (z, y, x) if not least <= value <= most]:
                raise self.fault(where, f"must hold numbers from {least:g} to {most:g}, not {beyond[0]:g}")
            triples.append((z, y, x))
        return triples

    def whole(self, shapes: list[Triple]) -> list[tuple[int, int, int]]:
        """Numbers of voxels."""
        for place, shape in enumerate(shapes):
            if any(size != int(size) for size in shape):
                raise self.fault(f"shapes_after_crop.{place}", f"must be three whole numbers, not {list(shape)}")
        return [(int(z), int(y), int(x)) for z, y, x in shapes]

    def intensities(self, channels: int) -> tuple[Intensities, ...]:
        """One entry a channel, numbered from "0"."""
        entries = self.get(_INTENSITIES)
        if not isinstance(entries, dict) or set(entries) != {str(channel) for channel in range(channels)}:
            found = ", ".join(entries) if isinstance(entries, dict) else str(entries)[:80]
            wanted = ", ".join(str(channel) for channel in range(channels))
            raise self.fault(
                _INTENSITIES, f"must have an entry for each channel of dataset.json ({wanted}), not {found}"
            )
        return tuple(self._channel(f"{_INTENSITIES}.{channel}", entries[str(channel)]) for channel in range(channels))

    def _channel(self, field: str, entry: Any) -> Intensities:
        if not isinstance(entry, dict):
            raise self.fault(field, f"must be an object {{…}}, not {str(entry)[:80]}")
        missing = [name for name in Intensities.model_fields if name not in entry]
        if missing:
            raise self.fault(f"{field}.{missing[0]}", "is missing")
        numbers = {name: self.number(f"{field}.{name}", entry[name]) for name in Intensities.model_fields}
        if numbers["std"] < 0:
            raise self.fault(f"{field}.std", f"must not be below 0, and is {numbers['std']:g}")
        for low, high in (("min", "max"), ("percentile_00_5", "percentile_99_5")):
            if numbers[low] > numbers[high]:
                raise self.fault(f"{field}.{low}", f"is {numbers[low]:g}, above {high}, {numbers[high]:g}")
        return Intensities(**numbers)
