"""What a fingerprint is, and fingerprint.json.

Comes in: facts measured by `extract_fingerprint`, or the file. Goes out: the file, or the facts.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from autoseg.dataset.dataset import names_a_file
from autoseg.dataset.description import Description
from autoseg.errors import WorkspaceError
from autoseg.files import read_json, write_json
from autoseg.fingerprint.orientation import is_orientation
from autoseg.frozen import Frozen, first_fault
from autoseg.geometry import COARSEST_MM, FINEST_MM, LONGEST_AXIS

FORMAT: Final = 2

Voxels = Annotated[int, Field(ge=1, le=LONGEST_AXIS)]
Millimetres = Annotated[float, Field(ge=FINEST_MM, le=COARSEST_MM)]
Share = Annotated[float, Field(ge=0, le=1)]


class CaseFacts(Frozen):
    """The grid of one case.

    Attributes:
        name: of the case.
        shape: voxels, (z, y, x).
        spacing_mm: (z, y, x); a 2-D image has z = 1.0.
        shape_after_crop: voxels of the box that holds all that is not 0, (z, y, x); without an
            image it cannot be measured and is `shape`.
        relative_size: voxels after the crop as a share of those before, 0…1.
        orientation: where the index of the file's first, second and third axis (x, y, z) grows
            towards: "LPS" is left, posterior, superior; the letters mean what they mean in
            nibabel's "RAS". Oblique axes count as the nearest straight one. None in 2-D.
    """

    name: str
    shape: tuple[Voxels, Voxels, Voxels]
    spacing_mm: tuple[Millimetres, Millimetres, Millimetres]
    shape_after_crop: tuple[Voxels, Voxels, Voxels]
    relative_size: float = Field(gt=0, le=1)
    orientation: str | None

    @field_validator("name")
    @classmethod
    def _names_a_file(cls, name: str) -> str:
        if not names_a_file(name):
            raise ValueError(f"'{name}' is no name of a case: files are named after cases")
        return name

    @field_validator("orientation")
    @classmethod
    def _each_pair_once(cls, code: str | None) -> str | None:
        if code is not None and not is_orientation(code):
            raise ValueError(f"'{code}' is no orientation: three letters, one of L and R, of A and P, and of I and S")
        return code

    @model_validator(mode="after")
    def _crop_lies_inside(self) -> CaseFacts:
        if any(after > before for after, before in zip(self.shape_after_crop, self.shape, strict=True)):
            raise ValueError(f"shape_after_crop {self.shape_after_crop} is larger than shape {self.shape}")
        return self


class Intensities(Frozen):
    """Intensities of one channel over the foreground, all voxels that bear a label.

    Voxels nobody annotated (the ignore label) are left out, for most of them are background;
    nnU-Net counts them as foreground, so with an ignore label its figures are others.
    """

    mean: float
    median: float
    std: float = Field(ge=0)
    min: float
    max: float
    percentile_00_5: float
    percentile_99_5: float

    @model_validator(mode="after")
    def _in_order(self) -> Intensities:
        if self.percentile_00_5 > self.percentile_99_5 or self.min > self.max:
            raise ValueError(
                f"from {self.min:g} to {self.max:g}, most of them from {self.percentile_00_5:g} to "
                f"{self.percentile_99_5:g}: the smaller comes first"
            )
        return self


class ImageIntensities(Frozen):
    """Intensities of one channel over whole images, surroundings included: in a CT they begin with air.

    Attributes:
        min: median over the cases of the lowest intensity of an image.
        max: the same of the highest.
        whole_numbers: share of the cases whose intensities are whole numbers throughout, 0…1.
    """

    min: float
    max: float
    whole_numbers: Share


class Spread(Frozen):
    """A number that differs from case to case."""

    min: float
    median: float
    max: float


class LabelFacts(Frozen):
    """What is known of one target: a label, or a region of several.

    Attributes:
        values: file values that make it up.
        voxels: in all cases together.
        share_of_cases: that contain it, 0…1.
        volume_mm3: a case, over the cases that contain it; in 2-D, with pixels 1 mm thick.
            None where no case does.
        components: connected parts a case (26 neighbours), over the same cases.
    """

    values: tuple[int, ...]
    voxels: int = Field(ge=0)
    share_of_cases: Share
    volume_mm3: Spread | None
    components: Spread | None


class Fingerprint(Frozen):
    """The facts a plan is derived from.

    Attributes:
        format: version of this file format.
        dataset: channels and labels.
        cases: one entry a training case, in the dataset's order.
        intensities: one entry a channel; none at all where there are label maps but no images.
        median_relative_size: median of the cases' relative sizes after the crop.
        labels: name of a target → facts; empty where the fingerprint is nnU-Net's.
        files: hash of names, sizes and times of change of the files it was measured from.
        image_intensities: one entry a channel; empty where they were not measured.
    """

    format: Literal[2] = FORMAT
    dataset: Description
    cases: tuple[CaseFacts, ...] = Field(min_length=1)
    intensities: tuple[Intensities, ...]
    median_relative_size: float = Field(gt=0, le=1)
    labels: dict[str, LabelFacts]
    files: str = ""
    image_intensities: tuple[ImageIntensities, ...] = ()

    @model_validator(mode="after")
    def _of_this_dataset(self) -> Fingerprint:
        name, times = Counter(case.name for case in self.cases).most_common(1)[0]
        if times > 1:
            raise ValueError(f"{times} cases are called '{name}'")
        channels, targets = self.dataset.channels, list(self.dataset.labels.targets)
        for field, entries in (("intensities", self.intensities), ("image_intensities", self.image_intensities)):
            if len(entries) not in (0, len(channels)):
                raise ValueError(f"{field} must have one entry a channel ({', '.join(channels)}), not {len(entries)}")
        if self.labels and sorted(self.labels) != sorted(targets):
            raise ValueError(f"labels are {', '.join(self.labels)}, those of the dataset {', '.join(targets)}")
        return self

    @property
    def has_images(self) -> bool:
        """False where sizes and labels were taken from label maps alone: crop and intensities are not known."""
        return bool(self.intensities)


def write_fingerprint(path: Path, fingerprint: Fingerprint) -> None:
    """Writes fingerprint.json, atomically."""
    write_json(path, fingerprint.model_dump(mode="json"))


def read_fingerprint(path: Path) -> Fingerprint:
    """Reads fingerprint.json.

    Raises:
        WorkspaceError: the file is absent, is not JSON, has another format, or holds what no dataset has.
    """
    content = _migrated(read_json(path, WorkspaceError))
    remedy = "Remove it: `autoseg fingerprint DATASET` measures anew."
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise WorkspaceError(f"{path}: fingerprint of format {found!r}; this version reads format {FORMAT}. {remedy}")
    try:
        fingerprint = Fingerprint.model_validate(content)
    except ValidationError as invalid:
        raise WorkspaceError(f"{path}: {first_fault(invalid)}. {remedy}") from None
    if not fingerprint.labels:  # nnU-Net's has none, and is never written
        raise WorkspaceError(f"{path}: field 'labels': nothing is known of any label. {remedy}")
    return fingerprint


def _migrated(content: Any) -> Any:
    """Format 1 knew nothing of whole images. Without the hash of its files it is outdated, and measured anew."""
    if isinstance(content, dict) and content.get("format") == 1:
        return {**content, "format": 2, "files": ""}
    return content
