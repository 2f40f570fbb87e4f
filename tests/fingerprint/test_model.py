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


def changed_case(**change):
    return lambda content: content | {"cases": [content["cases"][0] | change]}


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
        (lambda content: content | {"weather": "fair"}, "field 'weather': no such field."),
        (lambda content: content | {"cases": [{"name": "a"}]}, "field 'cases.0.shape': is missing."),
        (lambda content: content | {"cases": []}, "field 'cases': must have 1 entry or more (found [])."),
        (lambda content: content | {"labels": {}}, "field 'labels': nothing is known of any label."),
        (
            lambda content: content | {"labels": {"spleen": content["labels"]["liver"]}},
            "labels are spleen, those of the dataset liver.",
        ),
        (
            lambda content: content | {"intensities": content["intensities"] * 2},
            "intensities must have one entry a channel (CT), not 2.",
        ),
        (lambda content: content | {"cases": content["cases"] * 2}, "2 cases are called 'a'."),
        (lambda content: content | {"median_relative_size": 1.5}, "field 'median_relative_size': must be less than"),
        (changed_case(name="../../x"), "field 'cases.0.name': '../../x' is no name of a case: files are named after"),
        (changed_case(name=""), "field 'cases.0.name': '' is no name of a case: files are named after cases."),
        (changed_case(orientation="QQQ"), "field 'cases.0.orientation': 'QQQ' is no orientation: three letters, one"),
        (changed_case(orientation="LPL"), "field 'cases.0.orientation': 'LPL' is no orientation: three letters, one"),
        (changed_case(shape=[4, 0, 6]), "field 'cases.0.shape.1': must be greater than or equal to 1 (found 0)."),
        (changed_case(shape=[4, 5, 10**9]), "field 'cases.0.shape.2': must be less than or equal to 1000000 (found"),
        (
            changed_case(spacing_mm=[0, 1, 1]),
            "field 'cases.0.spacing_mm.0': must be greater than or equal to 0.000001 (found 0).",
        ),
        (
            changed_case(spacing_mm=[1, 1, 1e300]),
            "field 'cases.0.spacing_mm.2': must be less than or equal to 100000 (found 1e+300).",
        ),
        (
            changed_case(shape_after_crop=[4, 5, 7]),
            "field 'cases.0': shape_after_crop (4, 5, 7) is larger than shape (4, 5, 6).",
        ),
        (changed_case(relative_size=0), "field 'cases.0.relative_size': must be greater than 0 (found 0)."),
        (
            lambda content: content | {"intensities": [content["intensities"][0] | {"percentile_00_5": 5}]},
            "field 'intensities.0': from 0 to 2, most of them from 5 to 1.9: the smaller comes first.",
        ),
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
