"""What is wrong with a dataset, before hours are spent on it.

Comes in: a dataset. Goes out: findings, each with its remedy, ordered by case.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from autoseg.dataset.absurd import absurd_sizes
from autoseg.dataset.dataset import IMAGES_REMEDY, Case, Dataset
from autoseg.dataset.description import Description
from autoseg.dataset.folds import ONE_CASE, ONE_CASE_REMEDY
from autoseg.dataset.images import read_image, read_label_map
from autoseg.dataset.labels import Labels
from autoseg.dataset.mismatch import Part, describe_mismatch
from autoseg.dataset.outliers import REMEDY, outliers
from autoseg.errors import AutosegError
from autoseg.geometry import Grid
from autoseg.parallel import map_items
from autoseg.phrases import counted
from autoseg.progress import Progress, silent


class Finding(NamedTuple):
    """Something amiss.

    Attributes:
        severity: an error forbids training; a warning may be meant.
        case: name of the case, or None where it concerns the dataset.
        problem: with the values found; may run over several lines.
        remedy: what to do.
    """

    severity: Literal["error", "warning"]
    case: str | None
    problem: str
    remedy: str

    def __str__(self) -> str:
        """The finding as people read it; the remedy stands on its own line."""
        where = f"case '{self.case}'" if self.case else "dataset"
        return f"{where}: {self.problem}\n{self.remedy}"


def check_dataset(dataset: Dataset, processes: int | None = None, progress: Progress = silent) -> list[Finding]:
    """Reads every training case and reports what would harm or prevent training.

    Args:
        dataset: the dataset. Its test cases are not read.
        processes: at most; None takes one a core.
        progress: told of every case.

    Returns:
        Findings about the dataset first, then those of each case in the order of the cases.
    """
    if not dataset.cases:
        remedy = "Put images and label maps where the layout expects them (nnU-Net: imagesTr and labelsTr)."
        return [*_faults(dataset), Finding("error", None, f"{dataset.path} holds no training cases", remedy)]
    examined = map_items(
        partial(_examine, dataset.path, dataset.description, dataset.has_images),
        dataset.cases,
        processes,
        "checking",
        progress,
        name=lambda case: case.name,
    )
    return [
        *_faults(dataset),
        *_images(dataset),
        *_number_of_cases(dataset),
        *_labels_never_seen(dataset.description.labels, examined),
        *_duplicates(examined),
        *_outliers(examined),
        *_absurd(examined),
        *(finding for case in examined for finding in case.findings),
    ]


def can_train(findings: Sequence[Finding]) -> bool:
    """Whether none of the findings is an error."""
    return not any(finding.severity == "error" for finding in findings)


class _Sized(NamedTuple):
    """A case whose grid could be read, as `outliers` compares them."""

    name: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]


@dataclass
class _Examined:
    """One case: what was found in it, and what the whole dataset has to know of it.

    Attributes:
        values: in the label map; empty where it could not be read.
        digest: of the image's voxels; None where not all could be read.
        grid: of the image, else of the label map; None where neither could be read.
    """

    name: str
    findings: list[Finding] = field(default_factory=list)
    values: frozenset[int] = frozenset()
    digest: bytes | None = None
    grid: Grid | None = None

    def error(self, problem: str, remedy: str) -> None:
        self.findings.append(Finding("error", self.name, problem, remedy))

    def warning(self, problem: str, remedy: str) -> None:
        self.findings.append(Finding("warning", self.name, problem, remedy))


def _faults(dataset: Dataset) -> list[Finding]:
    return [Finding("error", None, fault, "Until then nothing can be planned or trained.") for fault in dataset.faults]


def _images(dataset: Dataset) -> list[Finding]:
    """One finding for all where every image is missing, which is another thing than a file forgotten."""
    if dataset.has_images:
        return []
    return [Finding("error", None, dataset.lack_of_images, IMAGES_REMEDY)]


def _number_of_cases(dataset: Dataset) -> list[Finding]:
    declared, found = dataset.declared_cases, len(dataset.cases)
    findings = []
    if declared is not None and declared != found:
        cases = counted(declared, "training case")
        problem = f"dataset.json announces {cases} (numTraining), but {found} {'is' if found == 1 else 'are'} there"
        findings.append(Finding("warning", None, problem, "Look for cases left behind, or correct the number."))
    if found == 1 and dataset.has_images:
        findings.append(Finding("warning", None, ONE_CASE, ONE_CASE_REMEDY))
    return findings


def _labels_never_seen(labels: Labels, examined: Sequence[_Examined]) -> list[Finding]:
    seen = {value for case in examined for value in case.values}
    return [
        Finding(
            "warning",
            None,
            f"label '{name}' (value {value}) appears in no label map",
            "Remove it from dataset.json, or add cases that show it.",
        )
        for name, value in labels.values.items()
        if seen and value not in seen
    ]


def _duplicates(examined: Sequence[_Examined]) -> list[Finding]:
    first: dict[bytes, str] = {}
    findings = []
    for case in examined:
        if case.digest and first.setdefault(case.digest, case.name) != case.name:
            problem = f"cases '{first[case.digest]}' and '{case.name}' have the same image"
            remedy = "Leave one out: where one trains and the other validates, the score is flattered."
            findings.append(Finding("warning", None, problem, remedy))
    return findings


def _outliers(examined: Sequence[_Examined]) -> list[Finding]:
    cases = [_Sized(case.name, case.grid.shape, case.grid.spacing_mm) for case in examined if case.grid]
    return [Finding("warning", None, sentence.removesuffix("."), REMEDY) for sentence in outliers(cases)]


def _absurd(examined: Sequence[_Examined]) -> list[Finding]:
    sentence = absurd_sizes({case.name: case.grid.spacing_mm for case in examined if case.grid})
    return [Finding("warning", None, sentence, REMEDY)] if sentence else []


def _examine(folder: Path, description: Description, has_images: bool, case: Case) -> _Examined:
    """Reads one case; runs in a worker process."""
    examined = _Examined(case.name)
    parts = _examine_image(case, description, folder, examined) if has_images else []
    label = _examine_label(case, description.labels, folder, examined)
    examined.grid = next((part.grid for part in [*parts, label] if part), None)
    if mismatch := describe_mismatch("channels", parts) if parts else None:
        examined.error(mismatch, "Resample the channels onto one grid, or leave the case out of the dataset.")
    elif parts and label and (mismatch := describe_mismatch("label and image", [parts[0], label])):
        examined.error(
            mismatch, "Resample the label onto the image (nearest neighbour), or leave the case out of the dataset."
        )
    return examined


def _examine_image(case: Case, description: Description, folder: Path, examined: _Examined) -> list[Part]:
    """Reads one file of the image after another; returns the grids of those that could be read."""
    parts: list[Part] = []
    digest = hashlib.blake2b(digest_size=16)
    names, found = description.channels, 0
    for number, path in enumerate(case.images):
        role = f"channel {number} ('{names[number]}')" if len(case.images) == len(names) else "the image"
        shown = _relative(path, folder)
        if not path.exists():
            examined.error(f"{role} is missing: {shown}", "Add the file, or leave the case out of the dataset.")
            continue
        try:
            image = read_image(path)
        except AutosegError as unreadable:
            examined.error(f"{role}: {unreadable}", "Until then, leave the case out of the dataset.")
            continue
        parts.append(Part("image" if len(case.images) == 1 else f"channel {number}", shown, image.grid))
        found += len(image.array)
        digest.update(np.ascontiguousarray(image.array).data)
    if len(parts) == len(case.images):
        examined.digest = digest.digest()
        _examine_form(found, parts[0], description, examined)
    return parts


def _examine_form(found: int, image: Part, description: Description, examined: _Examined) -> None:
    declared = description.channels
    if found != len(declared):
        examined.error(
            f"the image has {counted(found, 'channel')}, the dataset declares {len(declared)} "
            f"({', '.join(declared)}): {image.path}",
            "Correct the channels in dataset.json, or the image.",
        )
    if image.grid.dimensions != description.dimensions:
        examined.error(
            f"a {image.grid.dimensions}-D image in a dataset of {description.dimensions}-D images: {image.path}",
            "Convert it, or leave the case out of the dataset.",
        )


def _examine_label(case: Case, labels: Labels, folder: Path, examined: _Examined) -> Part | None:
    if case.label is None or not case.label.exists():
        where = f": {_relative(case.label, folder)}" if case.label else ""
        examined.error(f"no label map{where}", "Add it, or move the image to the test cases.")
        return None
    try:
        label_map, grid = read_label_map(case.label)
    except AutosegError as unreadable:
        examined.error(str(unreadable), "Until then, leave the case out of the dataset.")
        return None
    shown = _relative(case.label, folder)
    examined.values = frozenset(int(value) for value in np.unique(label_map))
    if complaint := labels.undeclared(examined.values):
        examined.error(f"{complaint}: {shown}", "Declare the value in dataset.json, or correct the map.")
    elif examined.values <= {0, labels.ignore}:
        examined.warning(
            f"the label map is empty: {shown}", "If something should be there, label it; if not, all is well."
        )
    return Part("label", shown, grid)


def _relative(path: Path, folder: Path) -> Path:
    return path.relative_to(folder) if path.is_relative_to(folder) else path
