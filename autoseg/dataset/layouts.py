"""What lies in a folder: which dataset, or which images to predict.

Comes in: paths. Goes out: a `Dataset`, or the cases of a prediction. One file a layout beside
this one: nnunet.py, decathlon.py, kits.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from autoseg.dataset.dataset import Case, Dataset
from autoseg.dataset.dataset_json import DatasetJson
from autoseg.dataset.decathlon import open_decathlon
from autoseg.dataset.images import IMAGE_ENDINGS, read_grid, read_header, split_ending
from autoseg.dataset.kits import is_kits, open_kits
from autoseg.dataset.nnunet import (
    channel_files,
    holds_fingerprint_only,
    open_nnunet,
    split_channel,
    visible_files,
)
from autoseg.dataset.splits import read_splits
from autoseg.errors import DatasetError
from autoseg.phrases import counted, listed


def open_dataset(path: Path, lenient: bool = False) -> Dataset:
    """Recognises the layout of a folder and lists its cases. Reads the header of one image.

    Args:
        path: the folder.
        lenient: let faults of dataset.json that keep no case from being read stand, in `Dataset.faults`.

    Raises:
        DatasetError: the folder is absent, its layout is none of those known, or its
            dataset.json or splits are at fault.
    """
    if not path.is_dir():
        found = "not a folder" if path.exists() else "no such folder"
        raise DatasetError(f"{path}: {found}. Give the folder that holds dataset.json or the KiTS cases.")
    dataset = _recognised(path)
    if dataset.faults and not lenient:
        raise DatasetError("\n".join(dataset.faults))
    return replace(
        dataset,
        description=dataset.description.model_copy(update={"dimensions": _dimensions(dataset)}),
        splits=read_splits(path, [case.name for case in dataset.cases]),
    )


def find_cases(inputs: Sequence[Path], channels: int) -> list[Case]:
    """The cases to predict, ordered by name.

    Files whose names differ only in NAME_0000, NAME_0001, … are the channels of one case NAME.
    Any other file is a case by itself: NAME.nii.gz, with one channel or with all of them (4-D,
    RGB). A dataset's folder stands for its test cases or, where it has none, its training cases.

    Args:
        inputs: image files, folders of them, folders of datasets.
        channels: that the model expects.

    Raises:
        DatasetError: an input is absent or holds no image, or two cases have one name.
    """
    cases: list[Case] = []
    files: list[Path] = []
    for path in inputs:
        if path.is_dir() and _is_dataset(path):
            dataset = open_dataset(path)
            cases += dataset.test_cases or dataset.cases
        else:
            files += _images(path)
    cases += _grouped(list(dict.fromkeys(files)), channels)
    found: dict[str, Case] = {}
    for case in cases:
        if case.name in found:
            raise DatasetError(
                f"two inputs are called '{case.name}': {found[case.name].images[0]} and {case.images[0]}. "
                "Rename one, or predict them into different folders."
            )
        found[case.name] = case
    return [found[name] for name in sorted(found)]


def must_have_channels(case: Case, channels: Sequence[str]) -> None:
    """Refuses a case whose files are not what a model takes, told from their names and headers.

    Args:
        case: to predict.
        channels: that the model expects, by name.

    Raises:
        DatasetError: it lacks a channel, or has too many; or its file cannot be read.
    """
    missing = [path for path in case.images if not path.is_file()]
    takes = f"the model takes {counted(len(channels), 'channel')} ({', '.join(channels)})"
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        files = "file" if len(missing) == 1 else "files"
        raise DatasetError(
            f"{', '.join(map(str, missing))} {verb} missing; {takes}. Add the {files}, or leave the case out."
        )
    found = len(case.images)
    if found == 1 and len(channels) > 1:
        found = read_header(case.images[0]).channels
    if found != len(channels):
        raise DatasetError(
            f"{counted(found, 'channel')} in {', '.join(path.name for path in case.images)}, but {takes}. "
            f"{files_for(channels)}"
        )


def files_for(channels: Sequence[str]) -> str:
    """How to give a model images.

    >>> files_for(["CT"]), files_for(["T1", "T2"])  # doctest: +NORMALIZE_WHITESPACE
    ('Give that channel alone.',
     'Give one file a channel (T1: NAME_0000, T2: NAME_0001), or one file that holds them all.')
    """
    if len(channels) == 1:
        return "Give that channel alone."
    files = ", ".join(f"{channel}: NAME_{number:04d}" for number, channel in enumerate(channels))
    return f"Give one file a channel ({files}), or one file that holds them all."


def _is_dataset(folder: Path) -> bool:
    return (folder / "dataset.json").is_file() or is_kits(folder)


def _recognised(folder: Path) -> Dataset:
    if not (folder / "dataset.json").is_file():
        if is_kits(folder):
            return open_kits(folder)
        raise _unknown(folder)
    json = DatasetJson.read(folder)
    if holds_fingerprint_only(folder):
        raise DatasetError(
            f"{folder}: holds nnU-Net's dataset_fingerprint.json and no images. A plan can be derived from it "
            f"('autoseg plan {folder} --preset nnunet -o plan.json'); for all else, give the folder that holds "
            "imagesTr and labelsTr."
        )
    if "modality" in json.content and "training" in json.content:
        return open_decathlon(json)
    if {"channel_names", "file_ending"} & json.content.keys():
        return open_nnunet(json)
    raise DatasetError(
        f"{folder / 'dataset.json'}: neither nnU-Net's (it lacks 'channel_names' and 'file_ending') nor the "
        f"Decathlon's (it lacks 'modality' or 'training'); it holds {', '.join(json.content) or 'nothing'}. "
        'For nnU-Net\'s layout add "channel_names": {"0": "CT"} and "file_ending": ".nii.gz".'
    )


def _unknown(folder: Path) -> DatasetError:
    found = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    inside = next((name for name in found if (folder / name).is_dir() and _is_dataset(folder / name)), None)
    remedy = (
        f"Did you mean {folder / inside}?"
        if inside
        else 'Write a dataset.json: {"channel_names": {"0": "CT"}, "labels": {"background": 0, "kidney": 1}, '
        '"file_ending": ".nii.gz"}, beside imagesTr/NAME_0000.nii.gz and labelsTr/NAME.nii.gz.'
    )
    return DatasetError(
        f"{folder}: not a dataset. Looked for dataset.json (nnU-Net, Decathlon) and "
        f"case_*/imaging.nii.gz (KiTS); found {listed(found, most=6) or 'nothing'}. {remedy}"
    )


def _dimensions(dataset: Dataset) -> Literal[2, 3]:
    """2 or 3, from the first file that can be read; 3 where none can, which the check reports."""
    cases = (*dataset.cases, *dataset.test_cases)
    images = [path for case in cases for path in case.images]
    labels = [case.label for case in cases if case.label]
    for path in images + labels:
        try:
            return 2 if read_grid(path).dimensions == 2 else 3
        except DatasetError:
            continue
    return 3


def _images(path: Path) -> list[Path]:
    if path.is_dir():
        images = [file for file in visible_files(path) if split_ending(file.name)[1]]
        if not images:
            raise DatasetError(f"{path}: no image in this folder. Images end in {', '.join(IMAGE_ENDINGS)}.")
        return images
    if not path.is_file():
        raise DatasetError(f"{path}: no such file or folder. Give images, or folders of images.")
    if not split_ending(path.name)[1]:
        raise DatasetError(f"{path}: not an image by its name. Images end in {', '.join(IMAGE_ENDINGS)}.")
    return [path]


def _grouped(files: Sequence[Path], channels: int) -> list[Case]:
    """Files → cases. Four digits at the end are a channel where they can be one of the model's."""
    groups: dict[tuple[Path, str, str], dict[int, Path]] = defaultdict(dict)
    cases = []
    for file in files:
        stem, ending = split_ending(file.name)
        name, channel = split_channel(stem)
        if channel is None:
            cases.append(Case(stem, (file,), None))
        else:
            groups[file.parent, name, ending][channel] = file
    for (folder, name, ending), found in groups.items():
        if min(found) >= channels:
            cases += [Case(split_ending(file.name)[0], (file,), None) for file in found.values()]
        else:
            cases.append(Case(name, channel_files(folder, name, ending, max(channels, max(found) + 1)), None))
    return cases
