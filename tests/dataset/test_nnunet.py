from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.dataset import Case, Dataset, Region
from autoseg.dataset.nnunet import split_channel
from autoseg.errors import DatasetError

REGIONS = {
    "labels": {"background": 0, "whole tumour": [1, 2, 3], "core": [2, 3], "enhancing": 3},
    "regions_class_order": [1, 2, 3],
}


def test_the_layout(write_dataset, write_volume):
    folder = write_dataset(channels=2, channel_names={"0": "T1", "1": "T2"}, name="Brains")
    write_volume(folder / "imagesTs" / "t_0000.nii.gz")
    write_volume(folder / "imagesTs" / "t_0001.nii.gz")
    dataset = Dataset.open(str(folder))
    assert dataset.description.name == "Brains"
    assert dataset.description.channels == ("T1", "T2")
    assert dataset.description.labels.values == {"background": 0, "kidney": 1, "tumour": 2}
    assert dataset.description.dimensions == 3
    assert [case.name for case in dataset.cases] == ["a", "b", "c"]
    assert dataset.cases[1] == Case(
        "b",
        (folder / "imagesTr" / "b_0000.nii.gz", folder / "imagesTr" / "b_0001.nii.gz"),
        folder / "labelsTr" / "b.nii.gz",
    )
    images = folder / "imagesTs" / "t_0000.nii.gz", folder / "imagesTs" / "t_0001.nii.gz"
    assert dataset.test_cases == (Case("t", images, None),)
    assert (dataset.file_ending, dataset.declared_cases, dataset.splits) == (".nii.gz", 3, None)


def test_a_dataset_without_a_name_has_that_of_its_folder(write_dataset):
    assert Dataset.open(write_dataset()).description.name == "dataset"


def test_a_case_is_listed_whatever_it_lacks(write_dataset):
    folder = write_dataset(channels=2, channel_names={"0": "T1", "1": "T2"})
    (folder / "imagesTr" / "a_0000.nii.gz").unlink()
    (folder / "imagesTr" / "a_0001.nii.gz").unlink()
    (folder / "imagesTr" / "b_0000.nii.gz").unlink()
    (folder / "labelsTr" / "c.nii.gz").unlink()
    cases = Dataset.open(folder).cases
    assert [case.name for case in cases] == ["a", "b", "c"]
    assert all(len(case.images) == 2 and case.label for case in cases)


def test_other_files_are_no_cases(write_dataset):
    folder = write_dataset()
    for name in ("._a_0000.nii.gz", "notes.txt", "d_0000.nrrd", "without_number.nii.gz"):
        (folder / "imagesTr" / name).touch()
    (folder / "labelsTr" / "._z.nii.gz").touch()
    assert [case.name for case in Dataset.open(folder).cases] == ["a", "b", "c"]


def test_pictures_whose_file_holds_all_colours(tmp_path, write_dataset):
    colours = {"0": "red", "1": "green", "2": "blue"}
    folder = write_dataset(names=(), channel_names=colours, file_ending=".png")
    for name in ("imagesTr/a_0000.png", "imagesTr/b_0000.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        sitk.WriteImage(sitk.GetImageFromArray(np.zeros((5, 6, 3), np.uint8), isVector=True), str(folder / name))
    dataset = Dataset.open(folder)
    assert dataset.cases[0].images == (folder / "imagesTr" / "a_0000.png",)
    assert dataset.description.dimensions == 2


def test_one_channel_alone_is_not_all_of_them(write_dataset):
    dataset = Dataset.open(write_dataset(channel_names={"0": "T1", "1": "T2"}))
    assert [path.name for path in dataset.cases[0].images] == ["a_0000.nii.gz", "a_0001.nii.gz"]


def test_regions(write_dataset):
    labels = Dataset.open(write_dataset(**REGIONS)).description.labels
    assert labels.values == {"background": 0, "label 1": 1, "label 2": 2, "enhancing": 3}
    assert labels.regions == {
        "whole tumour": Region(values=(1, 2, 3), paint=1),
        "core": Region(values=(2, 3), paint=2),
        "enhancing": Region(values=(3,), paint=3),
    }
    assert list(labels.regions) == ["whole tumour", "core", "enhancing"]


def test_the_ignore_label(write_dataset):
    labels = Dataset.open(write_dataset(labels={"background": 0, "a": 1, "ignore": 2})).description.labels
    assert labels.values == {"background": 0, "a": 1}
    assert labels.ignore == 2


def test_files_named_in_dataset_json(tmp_path, write_dataset):
    folder = write_dataset(
        dataset={
            "two": {"images": ["imagesTr/b_0000.nii.gz"], "label": "./labelsTr/b.nii.gz"},
            "one": {"images": ["imagesTr/a_0000.nii.gz"], "label": str(tmp_path / "elsewhere" / "a.nii.gz")},
        }
    )
    assert Dataset.open(folder).cases == (
        Case("one", (folder / "imagesTr" / "a_0000.nii.gz",), tmp_path / "elsewhere" / "a.nii.gz"),
        Case("two", (folder / "imagesTr" / "b_0000.nii.gz",), folder / "labelsTr" / "b.nii.gz"),
    )


@pytest.mark.parametrize(
    ("fields", "field", "problem"),
    [
        ({"channel_names": None}, "channel_names", "is missing. Add it: an object {…}."),
        ({"channel_names": ["CT"]}, "channel_names", "must be an object {…}, not ['CT']."),
        ({"channel_names": {}}, "channel_names", """must number the channels from "0" without gaps, not []."""),
        (
            {"channel_names": {"0": "T1", "2": "T2"}},
            "channel_names",
            """must number the channels from "0" without gaps, not ['0', '2'].""",
        ),
        ({"channel_names": {"0": 5}}, "channel_names", "must give each channel a name, not {'0': 5}."),
        ({"file_ending": None}, "file_ending", "is missing. Add it: a text."),
        ({"file_ending": ".mgz"}, "file_ending", "is '.mgz', which is not one of .nii.gz, .nii, .nrrd, .mha"),
        ({"file_ending": "nii.gz"}, "file_ending", "is 'nii.gz', which is not one of"),
        ({"labels": None}, "labels", "is missing. Add it: an object {…}."),
        ({"labels": ["background", "kidney"]}, "labels", "must be an object {…}, not ['background', 'kidney']."),
        (
            {"labels": {"0": "background", "1": "kidney"}},
            "labels",
            "gives '0' the value 'background'; it must be a whole number, or a list of them for a region. "
            'Names come first: {"background": 0, "kidney": 1}.',
        ),
        ({"labels": {"background": 0, "kidney": 1.5}}, "labels", "gives 'kidney' the value 1.5; it must be a whole"),
        ({"labels": {"background": 0, "kidney": True}}, "labels", "gives 'kidney' the value True; it must be a whole"),
        ({"labels": {"background": 0, "r": [1, "2"]}}, "labels", "gives 'r' the value [1, '2']; it must be a whole"),
        ({"labels": {"kidney": 1}}, "labels", 'has no background. Add "background": 0.'),
        ({"labels": {"background": 0, "ignore": [1, 2]}}, "labels", "gives 'ignore' the values [1, 2]; it must be one"),
        (
            {"labels": {"background": 0}},
            "labels",
            "is not consistent: labels need at least one besides the background.",
        ),
        ({"labels": {"background": 0, "a": 1, "b": 1}}, "labels", "is not consistent: two labels have the same value:"),
        ({**REGIONS, "regions_class_order": None}, "regions_class_order", "is missing. Add it: a list […]."),
        (
            {**REGIONS, "regions_class_order": [1, 2]},
            "regions_class_order",
            "must hold the value each of the 3 regions is painted with (whole tumour, core, enhancing), not [1, 2].",
        ),
        (
            {**REGIONS, "regions_class_order": [1, 1, 3]},
            "labels",
            "is not consistent: region 'core' consists of label 2 2, enhancing 3 and must be painted with one of these "
            "values, not with 1 (regions_class_order).",
        ),
        ({"numTraining": "three"}, "numTraining", "must be a whole number, not 'three'."),
        ({"dataset": []}, "dataset", "must be an object {…}, not []."),
        ({"dataset": {"a": {"images": []}}}, "dataset", "must give 'a' its files: {\"images\": "),
        ({"dataset": {"a": {"images": [1], "label": "l"}}}, "dataset.a", "must name files, not 1."),
        (
            {"dataset": {"a": {"images": ["imagesTr/../../a.nii.gz"], "label": "l"}}},
            "dataset.a",
            "names 'imagesTr/../../a.nii.gz', outside the dataset. Use an absolute path if it is meant.",
        ),
    ],
)
def test_faults_of_dataset_json_name_file_and_field(write_dataset, fields, field, problem):
    folder = write_dataset(**fields)
    with pytest.raises(DatasetError) as raised:
        Dataset.open(folder)
    assert str(raised.value).startswith(f"{folder / 'dataset.json'}: field '{field}' {problem}")


def test_a_case_whose_name_leads_out_of_the_folder_is_refused(write_dataset):
    folder = write_dataset(dataset={"../x": {"images": ["imagesTr/a_0000.nii.gz"], "label": "labelsTr/a.nii.gz"}})
    with pytest.raises(DatasetError, match=r"a case is called '\.\./x', and files are named after cases\. Give it a"):
        Dataset.open(folder)


@pytest.mark.parametrize("content", ["[1, 2]", "{", ""])
def test_what_is_not_json_is_refused(tmp_path, content):
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(DatasetError, match=r"dataset\.json: (must hold an object \{…\}, not \[1, 2\]|not a JSON file)"):
        Dataset.open(tmp_path)


@pytest.mark.parametrize(
    ("stem", "parts"),
    [("a_0003", ("a", 3)), ("a_1_0000", ("a_1", 0)), ("a_003", ("a_003", None)), ("_0000", ("_0000", None))],
)
def test_split_channel(stem, parts):
    assert split_channel(stem) == parts
