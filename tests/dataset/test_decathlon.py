from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.dataset import Case, Dataset, read_image
from autoseg.errors import DatasetError

DECATHLON = {
    "name": "BRATS",
    "modality": {"0": "FLAIR", "1": "T1w"},
    "labels": {"0": "background", "1": "edema", "2": "tumor"},
    "numTraining": 2,
    "training": [
        {"image": "./imagesTr/b_2.nii.gz", "label": "./labelsTr/b_2.nii.gz"},
        {"image": "./imagesTr/._b_1.nii.gz", "label": "./labelsTr/._b_1.nii.gz"},
        {"image": "./imagesTr/b_1.nii.gz", "label": "./labelsTr/b_1.nii.gz"},
    ],
    "test": ["./imagesTs/b_9.nii.gz", "./imagesTs/._b_9.nii.gz"],
}


def test_the_layout(tmp_path, write_json):
    write_json(tmp_path, DECATHLON)
    (tmp_path / "imagesTr").mkdir()
    stack = sitk.JoinSeries([sitk.GetImageFromArray(np.full((3, 4, 5), n, np.int16)) for n in (7, 8)])
    sitk.WriteImage(stack, str(tmp_path / "imagesTr" / "b_1.nii.gz"))
    dataset = Dataset.open(tmp_path)
    assert dataset.description.name == "BRATS"
    assert dataset.description.channels == ("FLAIR", "T1w")
    assert dataset.description.labels.values == {"background": 0, "edema": 1, "tumor": 2}
    assert (dataset.description.dimensions, dataset.file_ending, dataset.declared_cases) == (3, ".nii.gz", 2)
    assert dataset.cases == tuple(
        Case(name, (tmp_path / "imagesTr" / f"{name}.nii.gz",), tmp_path / "labelsTr" / f"{name}.nii.gz")
        for name in ("b_1", "b_2")
    )
    assert dataset.test_cases == (Case("b_9", (tmp_path / "imagesTs" / "b_9.nii.gz",), None),)
    assert read_image(*dataset.cases[0].images).array[:, 0, 0, 0].tolist() == [7, 8]


def test_the_file_names_of_nnunet_version_1(tmp_path, write_json, write_volume):
    write_json(tmp_path, {**DECATHLON, "test": [{"image": "./imagesTs/b_9.nii.gz"}]})
    for name in ("imagesTr/b_1_0000", "imagesTr/b_1_0001", "imagesTr/b_2_0001"):
        write_volume(tmp_path / f"{name}.nii.gz")
    first, second = Dataset.open(tmp_path).cases
    assert [path.name for path in first.images] == ["b_1_0000.nii.gz", "b_1_0001.nii.gz"]
    assert [path.name for path in second.images] == ["b_2_0000.nii.gz", "b_2_0001.nii.gz"]
    assert first.label == tmp_path / "labelsTr" / "b_1.nii.gz"


@pytest.mark.parametrize(
    ("fields", "field", "problem"),
    [
        ({"modality": {"1": "CT"}}, "modality", """must number the channels from "0" without gaps, not ['1']."""),
        ({"labels": None}, "labels", "is missing. Add it: an object {…}."),
        (
            {"labels": {"background": 0}},
            "labels",
            """holds "background": 0; the Decathlon writes {"0": "background"}.""",
        ),
        ({"labels": {"0": "background"}}, "labels", "is not consistent: labels need at least one besides"),
        (
            {"labels": {"0": "background", "1": "a", "2": "a"}},
            "labels",
            "gives the name 'a' to 1 and to 2. Rename one.",
        ),
        ({"training": "all"}, "training", "must be a list […], not 'all'."),
        ({"training": ["a.nii.gz"]}, "training", """must list {"image": "…", "label": "…"}, not 'a.nii.gz'."""),
        (
            {"training": [{"image": "../a.nii.gz", "label": "b"}]},
            "training",
            "names '../a.nii.gz', outside the dataset.",
        ),
        ({"test": [None]}, "test", "must name files, not None."),
    ],
)
def test_faults_of_dataset_json_name_file_and_field(tmp_path, write_json, fields, field, problem):
    write_json(tmp_path, {**DECATHLON, **fields})
    with pytest.raises(DatasetError) as raised:
        Dataset.open(tmp_path)
    assert str(raised.value).startswith(f"{tmp_path / 'dataset.json'}: field '{field}' {problem}")


def test_a_case_listed_twice_is_refused(tmp_path, write_json):
    entry = DECATHLON["training"][0]
    write_json(tmp_path, {**DECATHLON, "training": [entry, entry]})
    with pytest.raises(DatasetError) as raised:
        Dataset.open(tmp_path)
    assert str(raised.value) == f"{tmp_path}: 2 cases are called 'b_2'. Give each a name of its own."
