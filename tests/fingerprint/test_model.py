"""fingerprint.json: written, read, refused."""

from __future__ import annotations

import json

import pytest

from autoseg.dataset.description import Description
from autoseg.dataset.labels import Labels
from autoseg.errors import WorkspaceError
from autoseg.fingerprint import (
    CaseFacts,
    Fingerprint,
    ImageIntensities,
    Intensities,
    LabelFacts,
    Spread,
    read_fingerprint,
    write_fingerprint,
)


@pytest.fixture
def fingerprint():
    return Fingerprint(
        dataset=Description(name="d", channels=("CT",), labels=Labels(values={"background": 0, "liver": 5})),
        cases=(
            CaseFacts(
                name="a",
                shape=(4, 5, 6),
                spacing_mm=(2.5, 1.0, 1.0),
                shape_after_crop=(4, 5, 3),
                relative_size=0.5,
                orientation="LPS",
            ),
        ),
        intensities=(Intensities(mean=1, median=1, std=0.1, min=0, max=2, percentile_00_5=0.1, percentile_99_5=1.9),),
        median_relative_size=0.5,
        labels={
            "liver": LabelFacts(
                values=(5,),
                voxels=10,
                share_of_cases=1.0,
                volume_mm3=Spread(min=25, median=25, max=25),
                components=None,
            )
        },
    )


def test_reads_what_it_wrote(tmp_path, fingerprint):
    path = tmp_path / "fingerprint.json"
    write_fingerprint(path, fingerprint)
    assert read_fingerprint(path) == fingerprint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content | {"format": 0}, "fingerprint of format 0; this version reads format 2."),
        (lambda content: [], "fingerprint of format None; this version reads format 2."),
        (lambda content: content | {"median_relative_size": "half"}, "field 'median_relative_size': "),
        (lambda content: content | {"weather": "fair"}, "field 'weather': Extra inputs are not permitted."),
        (lambda content: content | {"cases": [{"name": "a"}]}, "field 'cases.0.shape': Field required."),
    ],
)
def test_refuses_other_files(tmp_path, fingerprint, change, message):
    path = tmp_path / "fingerprint.json"
    path.write_text(json.dumps(change(fingerprint.model_dump(mode="json"))))
    with pytest.raises(WorkspaceError) as error:
        read_fingerprint(path)
    assert str(error.value).startswith(f"{path}: {message}")
    assert str(error.value).endswith("Remove it: `autoseg fingerprint DATASET` measures anew.")


def test_whole_images_are_written_and_read(tmp_path, fingerprint):
    path = tmp_path / "fingerprint.json"
    measured = fingerprint.model_copy(
        update={"image_intensities": (ImageIntensities(min=-1024, max=1500.5, whole_numbers=0.75),)}
    )
    write_fingerprint(path, measured)
    assert read_fingerprint(path) == measured


def test_facts_of_format_1_are_kept_and_count_as_outdated(tmp_path, fingerprint):
    path = tmp_path / "fingerprint.json"
    content = fingerprint.model_dump(mode="json") | {"format": 1, "files": "0123456789ab"}
    del content["image_intensities"], content["dataset"]["normalisation"]
    path.write_text(json.dumps(content))
    assert fingerprint.files == ""  # no files have this hash, so the dataset is measured anew
    assert read_fingerprint(path) == fingerprint


def test_without_images_no_intensities_are_known(fingerprint):
    assert fingerprint.has_images
    assert not fingerprint.model_copy(update={"intensities": ()}).has_images


def test_absent(tmp_path):
    with pytest.raises(WorkspaceError, match="no such file"):
        read_fingerprint(tmp_path / "fingerprint.json")
