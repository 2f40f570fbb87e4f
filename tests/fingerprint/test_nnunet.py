"""nnU-Net's fingerprint taken for ours."""

from __future__ import annotations

import copy
import json

import pytest

from autoseg.dataset import Dataset, Region
from autoseg.errors import DatasetError
from autoseg.fingerprint import is_nnunet_fingerprint_folder, read_nnunet_fingerprint

CHANNEL = {
    "max": 3071.0,
    "mean": 99.5,
    "median": 101.0,
    "min": -1024.0,
    "percentile_00_5": -58.0,
    "percentile_99_5": 302.0,
    "std": 77.25,
}
DATASET = {
    "channel_names": {"0": "CT", "1": "PET"},
    "labels": {"background": 0, "kidney": 1, "tumour": 2},
    "numTraining": 2,
    "file_ending": ".nii.gz",
}
MEASURED = {
    "foreground_intensity_properties_per_channel": {"0": CHANNEL, "1": {**CHANNEL, "std": 0.0}},
    "median_relative_size_after_cropping": 0.875,
    "shapes_after_crop": [[100, 512, 512], [61, 400, 512]],
    "spacings": [[3.0, 0.78125, 0.78125], [5.0, 0.5, 0.5]],
}


def write(folder, dataset=DATASET, measured=MEASURED):
    folder.mkdir(exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(dataset))
    (folder / "dataset_fingerprint.json").write_text(json.dumps(measured))
    return folder


def test_the_facts(tmp_path):
    found = read_nnunet_fingerprint(write(tmp_path / "Dataset220_KiTS"))
    assert found.dataset.name == "Dataset220_KiTS"
    assert found.dataset.channels == ("CT", "PET")
    assert found.dataset.labels.targets == {"kidney": (1,), "tumour": (2,)}
    assert found.dataset.dimensions == 3
    assert [case.name for case in found.cases] == ["entry 0", "entry 1"]
    assert [case.shape_after_crop for case in found.cases] == [(100, 512, 512), (61, 400, 512)]
    assert [case.spacing_mm for case in found.cases] == [(3.0, 0.78125, 0.78125), (5.0, 0.5, 0.5)]
    assert all(case.shape == case.shape_after_crop and case.orientation is None for case in found.cases)
    assert found.median_relative_size == 0.875
    assert found.has_images
    assert found.intensities[0].model_dump() == CHANNEL
    assert (found.labels, found.image_intensities, found.files) == ({}, (), "")


def test_regions_ignore_and_normalisation_as_in_a_dataset(tmp_path):
    regions = {
        "labels": {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3},
        "regions_class_order": [1, 2],
        "normalization": {"PET": "none"},
    }
    described = read_nnunet_fingerprint(write(tmp_path, {**DATASET, **regions})).dataset
    assert described.labels.regions == {"whole": Region(values=(1, 2), paint=1), "core": Region(values=(2,), paint=2)}
    assert described.labels.ignore == 3
    assert described.normalisation == (None, "none")


def test_pictures_stay_slices_999_mm_thick(tmp_path):
    measured = {**MEASURED, "spacings": [[999, 1, 1]] * 2, "shapes_after_crop": [[1, 512, 400]] * 2}
    found = read_nnunet_fingerprint(write(tmp_path, measured=measured))
    assert (found.cases[0].spacing_mm, found.cases[0].shape) == ((999.0, 1.0, 1.0), (1, 512, 400))


def test_channels_under_the_name_of_version_1_and_no_number_of_cases(tmp_path):
    dataset = {"modality": {"0": "CT", "1": "PET"}, "labels": DATASET["labels"]}
    assert read_nnunet_fingerprint(write(tmp_path, dataset)).dataset.channels == ("CT", "PET")


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("spacings", None, "field 'spacings' is missing."),
        ("spacings", [], "field 'spacings' must be a list of one entry a case, not []."),
        ("spacings", {"a": 1}, "field 'spacings' must be a list of one entry a case, not {'a': 1}."),
        ("spacings", [[1, 1, 1]], "field 'shapes_after_crop' has 2 entries, and 'spacings' has 1."),
        ("spacings", [[1, 1, 1], [1, 1]], "field 'spacings.1' must be three numbers, not [1, 1]."),
        ("spacings", [[1, 1, 1], 1], "field 'spacings.1' must be three numbers, not 1."),
        ("spacings", [[1, 1, 1], [1, 0, 1]], "field 'spacings.1' must hold a number above 0, not 0."),
        ("spacings", [[1, -2, 1], [1, 1, 1]], "field 'spacings.0' must hold a number above 0, not -2."),
        ("spacings", [[1, 1, float("inf")]] * 2, "field 'spacings.0' must hold a number above 0, not inf."),
        ("spacings", [[1, 1, "1"]] * 2, "field 'spacings.0' must hold a number above 0, not 1."),
        ("spacings", [[1, 1, True]] * 2, "field 'spacings.0' must hold a number above 0, not True."),
        (
            "spacings",
            [[1, 1, 1], [1, 1e300, 1]],
            "field 'spacings.1' must hold numbers from 1e-06 to 100000, not 1e+300.",
        ),
        ("spacings", [[1e-12, 1, 1]] * 2, "field 'spacings.0' must hold numbers from 1e-06 to 100000, not 1e-12."),
        ("shapes_after_crop", None, "field 'shapes_after_crop' is missing."),
        (
            "shapes_after_crop",
            [[9, 9, 1e300]] * 2,
            "field 'shapes_after_crop.0' must hold numbers from 1 to 1e+06, not 1e+300.",
        ),
        (
            "shapes_after_crop",
            [[1, 1, 1], [9, 1.5, 1]],
            "field 'shapes_after_crop.1' must be three whole numbers, not [9.0, 1.5, 1.0].",
        ),
        (
            "median_relative_size_after_cropping",
            None,
            "field 'median_relative_size_after_cropping' is missing.",
        ),
        (
            "median_relative_size_after_cropping",
            float("nan"),
            "field 'median_relative_size_after_cropping' must hold a number above 0, not nan.",
        ),
        (
            "foreground_intensity_properties_per_channel",
            {"0": CHANNEL},
            "field 'foreground_intensity_properties_per_channel' must have an entry for each channel of dataset.json "
            "(0, 1), not 0.",
        ),
        (
            "foreground_intensity_properties_per_channel",
            {"0": CHANNEL, "1": 7},
            "field 'foreground_intensity_properties_per_channel.1' must be an object {…}, not 7.",
        ),
        (
            "foreground_intensity_properties_per_channel",
            {"0": CHANNEL, "1": {"mean": 1.0}},
            "field 'foreground_intensity_properties_per_channel.1.median' is missing.",
        ),
        (
            "foreground_intensity_properties_per_channel",
            {"0": {**CHANNEL, "mean": float("nan")}, "1": CHANNEL},
            "field 'foreground_intensity_properties_per_channel.0.mean' must hold a number, not nan.",
        ),
        (
            "foreground_intensity_properties_per_channel",
            {"0": {**CHANNEL, "std": -1}, "1": CHANNEL},
            "field 'foreground_intensity_properties_per_channel.0.std' must not be below 0, and is -1.",
        ),
        (
            "foreground_intensity_properties_per_channel",
            {"0": CHANNEL, "1": {**CHANNEL, "percentile_00_5": 400}},
            "field 'foreground_intensity_properties_per_channel.1.percentile_00_5' is 400, above percentile_99_5, 302.",
        ),
        (
            "median_relative_size_after_cropping",
            8.75,
            "field 'median_relative_size_after_cropping' is a share of the voxels, 1 at most, and not 8.75.",
        ),
    ],
)
def test_faults_name_file_and_field(tmp_path, field, value, problem):
    measured = {**copy.deepcopy(MEASURED), field: value}
    if value is None:
        del measured[field]
    with pytest.raises(DatasetError) as raised:
        read_nnunet_fingerprint(write(tmp_path, measured=measured))
    assert str(raised.value) == (
        f"{tmp_path / 'dataset_fingerprint.json'}: {problem} Copy the file again, or let nnU-Net measure the dataset "
        "again (nnUNetv2_extract_fingerprint)."
    )


def test_another_number_of_cases_than_announced(tmp_path):
    with pytest.raises(DatasetError) as raised:
        read_nnunet_fingerprint(write(tmp_path, {**DATASET, "numTraining": 3}))
    assert str(raised.value) == (
        f"{tmp_path}: dataset.json announces 3 training cases (numTraining), dataset_fingerprint.json has 2. They "
        "belong to different states of the dataset: take both files from the same one."
    )


def test_files_that_are_none(tmp_path):
    write(tmp_path)
    for content in ("{", "[1]"):
        (tmp_path / "dataset_fingerprint.json").write_text(content)
        with pytest.raises(DatasetError, match=r"dataset_fingerprint\.json: (not a JSON file|must hold an object)"):
            read_nnunet_fingerprint(tmp_path)
    (tmp_path / "dataset_fingerprint.json").unlink()
    with pytest.raises(DatasetError, match=r"dataset_fingerprint\.json: no such file"):
        read_nnunet_fingerprint(tmp_path)
    write(tmp_path, {**DATASET, "labels": {"kidney": 1}})
    with pytest.raises(DatasetError, match=r"dataset\.json: field 'labels' has no background"):
        read_nnunet_fingerprint(tmp_path)
    write(tmp_path, {**DATASET, "labels": {"background": 0, "kidney": -1}})
    with pytest.raises(
        DatasetError, match=r"dataset\.json: field 'labels' gives 'kidney' the value -1\. nnU-Net takes"
    ):
        read_nnunet_fingerprint(tmp_path)
    write(tmp_path, {**DATASET, "normalization": ["ct"]})
    with pytest.raises(DatasetError, match=r"dataset\.json: field 'normalization' lists 1 schemes for"):
        read_nnunet_fingerprint(tmp_path)


def test_which_folders_are_meant(tmp_path):
    assert not is_nnunet_fingerprint_folder(tmp_path / "nowhere")
    folder = write(tmp_path / "preprocessed")
    assert is_nnunet_fingerprint_folder(folder)
    assert is_nnunet_fingerprint_folder(str(folder))
    (folder / "gt_segmentations").mkdir()
    (folder / "nnUNetPlans.json").touch()
    assert is_nnunet_fingerprint_folder(folder)
    (folder / "labelsTr").mkdir()
    assert not is_nnunet_fingerprint_folder(folder)
    (folder / "labelsTr").rmdir()
    (folder / "dataset_fingerprint.json").unlink()
    assert not is_nnunet_fingerprint_folder(folder)


def test_a_dataset_whose_files_lie_elsewhere_is_a_dataset(tmp_path):
    images = {"a": {"images": [str(tmp_path / "a.nii.gz")], "label": str(tmp_path / "a_label.nii.gz")}}
    folder = write(tmp_path / "dataset", {**DATASET, "dataset": images})
    assert is_nnunet_fingerprint_folder(folder)  # nothing is there
    (tmp_path / "a_label.nii.gz").touch()
    assert not is_nnunet_fingerprint_folder(folder)


def test_such_a_folder_is_no_dataset(tmp_path):
    with pytest.raises(DatasetError) as raised:
        Dataset.open(write(tmp_path / "folder"))
    assert str(raised.value) == (
        f"{tmp_path / 'folder'}: holds nnU-Net's dataset_fingerprint.json and no images. A plan can be derived from it "
        f"('autoseg plan {tmp_path / 'folder'} --preset nnunet -o plan.json'); for all else, give the folder that "
        "holds imagesTr and labelsTr."
    )


@pytest.mark.parametrize("dataset", ["hippocampus", "acdc_like", "liver_like", "brats_like", "em2d_like"])
def test_the_fingerprints_of_nnunet(real_data, tmp_path, dataset):
    reference = json.loads(real_data("plan_references.json").read_text())[dataset]
    found = read_nnunet_fingerprint(write(tmp_path, reference["dataset"], reference["fingerprint"]))
    assert len(found.cases) == reference["dataset"]["numTraining"]
    assert [list(case.spacing_mm) for case in found.cases] == reference["fingerprint"]["spacings"]
    assert [list(case.shape_after_crop) for case in found.cases] == reference["fingerprint"]["shapes_after_crop"]
    assert found.dataset.channels == tuple(reference["dataset"]["channel_names"].values())
    assert len(found.intensities) == len(found.dataset.channels)
