"""The layout of the Medical Segmentation Decathlon, which nnU-Net's first version borrowed.

    dataset.json     modality, labels {"0": "background", …}, training [{"image", "label"}], test;
                     ours: normalization (normalisation.py)
    imagesTr/        NAME.nii.gz, 4-D where there are several channels;
                     in nnU-Net's first version NAME_0000.nii.gz, NAME_0001.nii.gz, …
    labelsTr/        NAME.nii.gz

Comes in: a dataset.json. Goes out: a `Dataset`.

Source: Antonelli et al. 2022, doi:10.1038/s41467-022-30695-9.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autoseg.dataset.dataset import Case, Dataset
from autoseg.dataset.dataset_json import DatasetJson, is_kind
from autoseg.dataset.description import Description
from autoseg.dataset.images import split_ending
from autoseg.dataset.labels import Labels
from autoseg.dataset.nnunet import channel_files
from autoseg.dataset.normalisation import declared_normalisation


def open_decathlon(json: DatasetJson) -> Dataset:
    """Lists the cases that dataset.json names; hidden files (`._NAME`) among them are left out."""
    channels = json.channels("modality")
    training = [_training_case(json, entry, len(channels)) for entry in json.get("training", list)]
    listed = json.get("test", list) if "test" in json.content else []
    # test images are strings in the Decathlon, {"image": …} in some datasets that copy it
    test = [entry.get("image") if isinstance(entry, dict) else entry for entry in listed]
    test_cases = [_case(json.path("test", image), None, len(channels)) for image in test]
    labels = [case.label for case in training if case.label]
    schemes, faults = declared_normalisation(json, channels)
    return Dataset(
        path=json.folder,
        description=Description(name=json.name, channels=channels, labels=_labels(json), normalisation=schemes),
        cases=_ordered(training),
        test_cases=_ordered(test_cases),
        file_ending=split_ending(labels[0].name)[1] if labels else ".nii.gz",
        declared_cases=json.declared_cases,
        faults=faults,
    )


def _training_case(json: DatasetJson, entry: Any, channels: int) -> Case:
    if not isinstance(entry, dict) or "image" not in entry or "label" not in entry:
        raise json.fault("training", f'must list {{"image": "…", "label": "…"}}, not {entry!r}.')
    return _case(json.path("training", entry["image"]), json.path("training", entry["label"]), channels)


def _case(image: Path, label: Path | None, channels: int) -> Case:
    name, ending = split_ending(image.name)
    numbered = channel_files(image.parent, name, ending, channels)
    as_in_nnunet = not image.exists() and any(file.exists() for file in numbered)
    return Case(name, numbered if as_in_nnunet else (image,), label)


def _ordered(cases: list[Case]) -> tuple[Case, ...]:
    visible = [case for case in cases if not case.name.startswith(".")]
    return tuple(sorted(visible, key=lambda case: case.name))


def _labels(json: DatasetJson) -> Labels:
    values: dict[str, int] = {}
    for number, name in json.get("labels", dict).items():
        if not number.isdecimal() or not is_kind(name, str):
            raise json.fault("labels", f'holds "{number}": {name!r}; the Decathlon writes {{"0": "background"}}.')
        if name in values:
            raise json.fault("labels", f"gives the name '{name}' to {values[name]} and to {number}. Rename one.")
        values[name] = int(number)
    return json.labels(values, {}, None)
