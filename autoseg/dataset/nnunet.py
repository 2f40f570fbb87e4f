"""The layout of nnU-Net, version 2.

    dataset.json     channel_names, labels, file_ending; for regions, also regions_class_order;
                     ours: normalization (normalisation.py)
    imagesTr/        NAME_0000.nii.gz, NAME_0001.nii.gz, … one file a channel
    labelsTr/        NAME.nii.gz
    imagesTs/        the same as imagesTr, for cases without label maps

Comes in: a dataset.json. Goes out: a `Dataset`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from autoseg.dataset.dataset import Case, Dataset
from autoseg.dataset.dataset_json import DatasetJson, is_kind
from autoseg.dataset.description import Description
from autoseg.dataset.images import IMAGE_ENDINGS, read_header, split_ending
from autoseg.dataset.labels import Labels, Region
from autoseg.dataset.normalisation import declared_normalisation
from autoseg.errors import DatasetError

FINGERPRINT_FILE = "dataset_fingerprint.json"  # what nnU-Net measured


def open_nnunet(json: DatasetJson) -> Dataset:
    """Lists the cases of a dataset in nnU-Net's layout.

    A case is listed if it has a label map or an image of any channel; what is missing is found
    by `check_dataset`. Where dataset.json has the field 'dataset', the files are those it names.
    """
    channels, ending = channel_names(json), json.get("file_ending", str)
    if split_ending(f"x{ending}") != ("x", ending):
        raise json.fault("file_ending", f"is '{ending}', which is not one of {', '.join(IMAGE_ENDINGS)}.")
    cases = _explicit_cases(json) if "dataset" in json.content else _training_cases(json.folder, ending, len(channels))
    images = json.folder / "imagesTs"
    test_cases = [
        Case(name, channel_files(images, name, ending, len(channels)), None) for name in _image_names(images, ending)
    ]
    description, faults = describe_nnunet(json)
    return Dataset(
        path=json.folder,
        description=description,
        cases=tuple(cases),
        test_cases=tuple(test_cases),
        file_ending=ending,
        declared_cases=json.declared_cases,
        faults=faults,
    )


def describe_nnunet(json: DatasetJson) -> tuple[Description, tuple[str, ...]]:
    """What dataset.json says of channels, labels and normalisation; and its faults that keep no case from being read.

    Raises:
        DatasetError: channels or labels are missing or at fault.
    """
    channels = channel_names(json)
    schemes, faults = declared_normalisation(json, channels)
    return Description(name=json.name, channels=channels, labels=_labels(json), normalisation=schemes), faults


def holds_fingerprint_only(folder: Path) -> bool:
    """Are nnU-Net's dataset.json and dataset_fingerprint.json here, but neither images nor label maps?"""
    described = all((folder / name).is_file() for name in ("dataset.json", FINGERPRINT_FILE))
    if not described or any((folder / part).is_dir() for part in ("imagesTr", "labelsTr")):
        return False
    json = DatasetJson.read(folder)
    if not isinstance(json.content.get("dataset"), dict):
        return True
    return not any(path.exists() for case in _explicit_cases(json) for path in (*case.images, case.label) if path)


def channel_names(json: DatasetJson) -> tuple[str, ...]:
    """The names of the channels; nnU-Net also takes them from 'modality', as its first version called the field."""
    has_old_name = "channel_names" not in json.content and "modality" in json.content
    return json.channels("modality" if has_old_name else "channel_names")


def channel_files(folder: Path, name: str, ending: str, channels: int) -> tuple[Path, ...]:
    """The files of a case: one a channel, present or not; or NAME_0000 alone if it holds them all."""
    files = tuple(folder / f"{name}_{channel:04d}{ending}" for channel in range(channels))
    if channels > 1 and files[0].exists() and not any(file.exists() for file in files[1:]):
        return files[:1] if _holds(files[0], channels) else files
    return files


def split_channel(stem: str) -> tuple[str, int | None]:
    """Case name and channel number from the name of an image file, without its ending.

    >>> split_channel("liver_3_0001"), split_channel("liver_3")
    (('liver_3', 1), ('liver_3', None))
    """
    match = re.fullmatch(r"(.+)_(\d{4})", stem)
    return (match[1], int(match[2])) if match else (stem, None)


def visible_files(folder: Path) -> list[Path]:
    """The files of a folder by name, without hidden ones (macOS leaves `._NAME` beside NAME)."""
    if not folder.is_dir():
        return []
    return sorted(file for file in folder.iterdir() if not file.name.startswith(".") and file.is_file())


def _training_cases(folder: Path, ending: str, channels: int) -> list[Case]:
    images, labels = folder / "imagesTr", folder / "labelsTr"
    stems = [split_ending(file.name) for file in visible_files(labels)]
    names = {stem for stem, found in stems if found == ending} | set(_image_names(images, ending))
    return [
        Case(name, channel_files(images, name, ending, channels), labels / f"{name}{ending}") for name in sorted(names)
    ]


def _image_names(folder: Path, ending: str) -> list[str]:
    parts = [split_ending(file.name) for file in visible_files(folder)]
    split = [split_channel(stem) for stem, found in parts if found == ending]
    return sorted({name for name, channel in split if channel is not None})


def _explicit_cases(json: DatasetJson) -> list[Case]:
    cases = []
    for name, files in sorted(json.get("dataset", dict).items()):
        images = files.get("images") if isinstance(files, dict) else None
        if not isinstance(images, list) or not images or "label" not in files:
            raise json.fault("dataset", f'must give \'{name}\' its files: {{"images": ["…"], "label": "…"}}.')
        field = f"dataset.{name}"
        cases.append(Case(name, tuple(json.path(field, image) for image in images), json.path(field, files["label"])))
    return cases


def _labels(json: DatasetJson) -> Labels:
    entries = dict(json.get("labels", dict))
    for name, value in entries.items():
        if not _are_values(value):
            raise json.fault(
                "labels",
                f"gives '{name}' the value {value!r}; it must be a whole number, or a list of them for a region. "
                'Names come first: {"background": 0, "kidney": 1}.',
            )
    ignore = entries.pop("ignore", None)
    if isinstance(ignore, list):
        raise json.fault("labels", f"gives 'ignore' the values {ignore}; it must be one whole number.")
    foreground = {name: _as_list(value) for name, value in entries.items() if value != 0}
    background = next((name for name, value in entries.items() if value == 0), None)
    if background is None:
        raise json.fault("labels", 'has no background. Add "background": 0.')
    if not any(isinstance(value, list) for value in entries.values()):
        return json.labels(entries, {}, ignore)
    return json.labels({background: 0, **_base_values(foreground)}, _regions(json, foreground), ignore)


def _regions(json: DatasetJson, foreground: dict[str, list[int]]) -> dict[str, Region]:
    """Among regions an entry of one value is a region, too. nnU-Net paints them in the order they are declared."""
    painted = json.get("regions_class_order", list)
    if len(painted) != len(foreground) or not all(is_kind(value, int) for value in painted):
        raise json.fault(
            "regions_class_order",
            f"must hold the value each of the {len(foreground)} regions is painted with "
            f"({', '.join(foreground)}), not {painted}.",
        )
    pairs = zip(foreground.items(), painted, strict=True)
    return {name: Region(values=tuple(values), paint=paint) for (name, values), paint in pairs}


def _base_values(foreground: dict[str, list[int]]) -> dict[str, int]:
    """The single labels that regions are made of: named where one entry is that label alone."""
    names = {values[0]: name for name, values in foreground.items() if len(values) == 1}
    found = sorted({value for values in foreground.values() for value in values})
    return {names.get(value, f"label {value}"): value for value in found}


def _are_values(value: Any) -> bool:
    return all(is_kind(number, int) for number in value) if isinstance(value, list) else is_kind(value, int)


def _as_list(value: int | list[int]) -> list[int]:
    return value if isinstance(value, list) else [value]


def _holds(file: Path, channels: int) -> bool:
    try:
        return read_header(file).channels == channels
    except DatasetError:
        return False
