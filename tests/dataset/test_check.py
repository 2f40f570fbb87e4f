from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.dataset import Dataset, Finding, can_train, check_dataset

TWO = {"channels": 2, "channel_names": {"0": "T1", "1": "T2"}}


def check(folder: Path, processes: int = 1) -> list[Finding]:
    return check_dataset(Dataset.open(folder), processes)


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, [str(finding) for finding in findings]
    return findings[0]


@pytest.mark.parametrize("fields", [{}, TWO])
def test_a_sound_dataset(write_dataset, fields):
    findings = check(write_dataset(**fields))
    assert findings == []
    assert can_train(findings)


def test_a_missing_label_map(write_dataset):
    folder = write_dataset()
    (folder / "labelsTr" / "b.nii.gz").unlink()
    finding = only(check(folder))
    assert not can_train([finding])
    assert str(finding) == ("case 'b': no label map: labelsTr/b.nii.gz\nAdd it, or move the image to the test cases.")


def test_a_missing_channel(write_dataset):
    folder = write_dataset(**TWO)
    (folder / "imagesTr" / "b_0001.nii.gz").unlink()
    assert only(check(folder)) == Finding(
        "error",
        "b",
        "channel 1 ('T2') is missing: imagesTr/b_0001.nii.gz",
        "Add the file, or leave the case out of the dataset.",
    )


def test_label_and_image_on_different_grids(write_dataset, write_volume):
    folder = write_dataset()
    write_volume(folder / "labelsTr" / "b.nii.gz", np.ones((4, 5, 16), np.uint8))
    assert str(only(check(folder))) == (
        "case 'b': label and image lie on different grids\n"
        "  image  4 × 5 × 6 voxels of 3.00 × 2.00 × 1.00 mm    imagesTr/b_0000.nii.gz\n"
        "  label  4 × 5 × 16 voxels of 3.00 × 2.00 × 1.00 mm   labelsTr/b.nii.gz\n"
        "Resample the label onto the image (nearest neighbour), or leave the case out of the dataset."
    )


def test_channels_on_different_grids(write_dataset, write_volume):
    folder = write_dataset(**TWO)
    write_volume(folder / "imagesTr" / "b_0001.nii.gz", spacing=(3, 2, 2))
    assert str(only(check(folder))) == (
        "case 'b': channels lie on different grids\n"
        "  channel 0  4 × 5 × 6 voxels of 3.00 × 2.00 × 1.00 mm   imagesTr/b_0000.nii.gz\n"
        "  channel 1  4 × 5 × 6 voxels of 3.00 × 2.00 × 2.00 mm   imagesTr/b_0001.nii.gz\n"
        "Resample the channels onto one grid, or leave the case out of the dataset."
    )


def test_undeclared_values(write_dataset, write_volume, label_map):
    folder = write_dataset()
    write_volume(folder / "labelsTr" / "b.nii.gz", label_map * 3)
    assert only(check(folder)) == Finding(
        "error",
        "b",
        "the label map holds values 3, 6, which the dataset does not declare "
        "(declared: background 0, kidney 1, tumour 2): labelsTr/b.nii.gz",
        "Declare the value in dataset.json, or correct the map.",
    )


def test_the_ignore_value_is_declared(write_dataset, write_volume, label_map):
    folder = write_dataset(labels={"background": 0, "kidney": 1, "tumour": 2, "ignore": 9})
    write_volume(folder / "labelsTr" / "b.nii.gz", np.where(label_map == 1, np.uint8(9), label_map))
    assert check(folder) == []


@pytest.mark.parametrize(("value", "count"), [(np.nan, 3), (np.inf, 1)])
def test_voxels_that_are_not_finite(write_dataset, write_volume, value, count):
    folder = write_dataset(**TWO)
    array = np.zeros((4, 5, 6), np.float32)
    array[0, 0, :count] = value
    path = write_volume(folder / "imagesTr" / "b_0001.nii.gz", array)
    assert only(check(folder)) == Finding(
        "error",
        "b",
        f"channel 1 ('T2'): {path}: {count} {'voxel is' if count == 1 else 'voxels are'} NaN or infinite "
        f"({count} in channel 0). Replace them by the value of the background.",
        "Until then, leave the case out of the dataset.",
    )


def test_an_image_that_was_cut_short(write_dataset):
    folder = write_dataset()
    path = folder / "imagesTr" / "b_0000.nii.gz"
    path.write_bytes(path.read_bytes()[:-1])
    finding = only(check(folder))
    assert (finding.severity, finding.case) == ("error", "b")
    assert finding.problem.startswith(f"channel 0 ('CT'): {path}: the compressed file is damaged (")


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (
            b"no image",
            "cannot be read as an image (Unable to determine ImageIO reader). The file is damaged or of another",
        ),
        (0.5, "the label map holds 0.5, which is not a whole number (120 voxels are not)."),
        (np.nan, "the label map holds nan, which is not a whole number (120 voxels are not)."),
    ],
)
def test_a_label_map_that_is_none(write_dataset, write_volume, values, problem):
    folder = write_dataset()
    path = folder / "labelsTr" / "b.nii.gz"
    if isinstance(values, bytes):
        path.write_bytes(values)
    else:
        write_volume(path, np.full((4, 5, 6), values, np.float32))
    finding = only(check(folder))
    assert (finding.severity, finding.case) == ("error", "b")
    assert finding.problem.startswith(f"{path}: {problem}")


def test_an_empty_label_map_is_a_warning(write_dataset, write_volume):
    folder = write_dataset()
    write_volume(folder / "labelsTr" / "b.nii.gz", np.zeros((4, 5, 6), np.uint8))
    finding = only(check(folder))
    assert finding == Finding(
        "warning",
        "b",
        "the label map is empty: labelsTr/b.nii.gz",
        "If something should be there, label it; if not, all is well.",
    )
    assert can_train([finding])


def test_a_file_with_another_number_of_channels(write_dataset):
    folder = write_dataset()
    stack = sitk.JoinSeries([sitk.GetImageFromArray(np.zeros((4, 5, 6), np.int16))] * 3)
    stack.SetSpacing((1.0, 2.0, 3.0, 1.0))
    sitk.WriteImage(stack, str(folder / "imagesTr" / "b_0000.nii.gz"))
    assert only(check(folder)) == Finding(
        "error",
        "b",
        "the image has 3 channels, the dataset declares 1 (CT): imagesTr/b_0000.nii.gz",
        "Correct the channels in dataset.json, or the image.",
    )


def test_a_picture_among_volumes(write_dataset):
    folder = write_dataset()
    for path in ("imagesTr/b_0000.nii.gz", "labelsTr/b.nii.gz"):
        sitk.WriteImage(sitk.GetImageFromArray(np.ones((5, 6), np.uint8)), str(folder / path))
    assert only(check(folder)) == Finding(
        "error",
        "b",
        "a 2-D image in a dataset of 3-D images: imagesTr/b_0000.nii.gz",
        "Convert it, or leave the case out of the dataset.",
    )


def test_no_cases(write_dataset):
    folder = write_dataset(names=())
    finding = only(check(folder))
    assert not can_train([finding])
    assert str(finding) == (
        f"dataset: {folder} holds no training cases\n"
        "Put images and label maps where the layout expects them (nnU-Net: imagesTr and labelsTr)."
    )


def test_a_single_case_can_be_trained_on_but_not_validated(write_dataset):
    finding = only(check(write_dataset(names=("a",), numTraining=1)))
    assert can_train([finding])
    assert str(finding) == (
        "dataset: there is one training case: a model that learns from it cannot be validated\n"
        "Add cases with label maps, or train without validation (--folds all; autoseg train … --fold all)."
    )


def test_another_number_of_cases_than_announced(write_dataset):
    assert str(only(check(write_dataset(numTraining=4)))) == (
        "dataset: dataset.json announces 4 training cases (numTraining), but 3 are there\n"
        "Look for cases left behind, or correct the number."
    )
    assert check(write_dataset(numTraining=None)) == []


def test_a_label_that_never_appears(write_dataset):
    assert only(check(write_dataset(labels={"background": 0, "kidney": 1, "tumour": 2, "cyst": 3}))) == Finding(
        "warning",
        None,
        "label 'cyst' (value 3) appears in no label map",
        "Remove it from dataset.json, or add cases that show it.",
    )


def test_one_image_under_two_names(write_dataset):
    folder = write_dataset()
    (folder / "imagesTr" / "c_0000.nii.gz").write_bytes((folder / "imagesTr" / "a_0000.nii.gz").read_bytes())
    assert only(check(folder)) == Finding(
        "warning",
        None,
        "cases 'a' and 'c' have the same image",
        "Leave one out: where one trains and the other validates, the score is flattered.",
    )


@pytest.mark.parametrize("processes", [1, 2])
def test_findings_come_in_the_order_of_the_cases_and_none_hides_another(write_dataset, write_volume, processes):
    folder = write_dataset(names=tuple("edcba"), numTraining=9)
    (folder / "imagesTr" / "d_0000.nii.gz").write_bytes(b"no image")
    (folder / "imagesTr" / "b_0000.nii.gz").unlink()
    (folder / "labelsTr" / "c.nii.gz").unlink()
    write_volume(folder / "labelsTr" / "d.nii.gz", np.full((4, 5, 6), 7, np.uint8))
    write_volume(folder / "labelsTr" / "a.nii.gz", np.zeros((4, 5, 6), np.uint8))
    findings = check(folder, processes)
    assert [(finding.case, finding.problem.split(":")[0]) for finding in findings] == [
        (None, "dataset.json announces 9 training cases (numTraining), but 5 are there"),
        ("a", "the label map is empty"),
        ("b", "channel 0 ('CT') is missing"),
        ("c", "no label map"),
        ("d", "channel 0 ('CT')"),
        ("d", "the label map holds value 7, which the dataset does not declare (declared"),
    ]


def test_a_bug_is_not_a_finding(write_dataset, monkeypatch):
    def broken(path: Path) -> None:
        raise KeyError("bug")

    monkeypatch.setattr("autoseg.dataset.check.read_image", broken)
    with pytest.raises(KeyError):
        check(write_dataset())


def test_progress_is_told_of_every_case(write_dataset):
    told = []

    @contextmanager
    def progress(description, total):
        told.append((description, total))
        yield lambda done, note: told.append((done, note))

    check_dataset(Dataset.open(write_dataset()), processes=1, progress=progress)
    assert told == [("checking", 3), (1, "a"), (1, "b"), (1, "c")]


def test_label_maps_without_images_are_one_finding_for_all(write_dataset, write_volume):
    folder = write_dataset()
    for image in (folder / "imagesTr").iterdir():
        image.unlink()
    write_volume(folder / "labelsTr" / "b.nii.gz", np.full((4, 5, 6), 7, np.uint8))
    first, second = check(folder)  # the label maps are read all the same
    assert first == Finding(
        "error",
        None,
        "3 cases with label maps and not one image (looked for imagesTr/a_0000.nii.gz and so on)",
        "Such a dataset can be measured and planned for. To train, add the images and derive the plan again.",
    )
    assert (second.case, second.problem.split(",")[0]) == ("b", "the label map holds value 7")


def test_one_image_makes_the_others_missing(write_dataset):
    folder = write_dataset()
    for name in "ab":
        (folder / "imagesTr" / f"{name}_0000.nii.gz").unlink()
    assert [finding.problem for finding in check(folder)] == [
        "channel 0 ('CT') is missing: imagesTr/a_0000.nii.gz",
        "channel 0 ('CT') is missing: imagesTr/b_0000.nii.gz",
    ]


def test_faults_of_dataset_json_are_findings_beside_the_others(write_dataset):
    folder = write_dataset(normalization={"0": "zscor"})
    (folder / "labelsTr" / "b.nii.gz").unlink()
    findings = check_dataset(Dataset.open(folder, lenient=True), 1)
    assert not can_train(findings)
    assert [(finding.severity, finding.case) for finding in findings] == [("error", None), ("error", "b")]
    assert findings[0].problem.startswith(f"{folder / 'dataset.json'}: field 'normalization' gives channel '0' the ")
    assert findings[0].remedy == "Until then nothing can be planned or trained."


def test_a_case_far_off_the_others_is_a_warning(write_dataset, write_volume, label_map):
    folder = write_dataset(names=tuple("abcdef"), numTraining=6)
    write_volume(folder / "imagesTr" / "e_0000.nii.gz", spacing=(30, 2, 1))
    write_volume(folder / "labelsTr" / "e.nii.gz", label_map, spacing=(30, 2, 1))
    finding = only(check(folder))
    assert can_train([finding])
    assert finding == Finding(
        "warning",
        None,
        "Case 'e' has voxels of 30 mm along z, 10 times the median of the 6 cases, 3 mm",
        "Look at its header and its image: correct it, or leave the case out; if it is meant to be so, all is well.",
    )


def test_real_label_maps_without_images(real_data):
    dataset = Dataset.open(real_data("kits19_labels"))
    smallest = min(dataset.cases, key=lambda case: case.label.stat().st_size)
    finding = only(check_dataset(Dataset(dataset.path, dataset.description, (smallest,)), processes=1))
    assert not can_train([finding])
    assert finding.problem == (
        f"1 case with label maps and not one image (looked for {smallest.name}/imaging.nii.gz and so on)"
    )


def test_the_hippocampus_dataset_is_sound(real_data):
    assert check(real_data("hippocampus"), processes=2) == []


def test_voxels_of_an_absurd_size(write_dataset, write_volume):
    folder = write_dataset()
    for path in folder.rglob("b*.nii.gz"):
        array = np.ones((4, 5, 6), np.uint8) if path.parent.name == "labelsTr" else np.zeros((4, 5, 6), np.float32)
        write_volume(path, array, spacing=(3e-4, 2e-4, 1e-4))
    [finding] = [one for one in check(folder) if "scanner" in one.problem]
    assert (finding.severity, finding.problem) == (
        "warning",
        "case 'b' has voxels of 0.0003 × 0.0002 × 0.0001 mm, which is no scanner's: is its header in other units?",
    )
