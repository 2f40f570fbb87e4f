from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.dataset import Case, Dataset, find_cases, must_have_channels, open_dataset
from autoseg.errors import DatasetError


def names(cases: list[Case]) -> dict[str, list[str]]:
    return {case.name: [path.name for path in case.images] for case in cases}


# --- folders that are no dataset ----------------------------------------------------------------


def test_absent_folders_and_files(tmp_path):
    with pytest.raises(
        DatasetError, match=r"nowhere: no such folder\. Give the folder that holds dataset\.json or the"
    ):
        Dataset.open(tmp_path / "nowhere")
    (tmp_path / "dataset.json").touch()
    with pytest.raises(DatasetError, match=r"dataset\.json: not a folder\. Give the folder that holds dataset\.json"):
        Dataset.open(tmp_path / "dataset.json")


@pytest.mark.parametrize(
    ("entries", "found"),
    [((), "nothing"), (("imagesTr", "x"), "imagesTr, x"), (list("abcdefgh"), "a, b, c, d, e, f and 2 more")],
)
def test_an_unknown_layout_says_what_was_looked_for_and_found(tmp_path, entries, found):
    for entry in (*entries, ".hidden"):
        (tmp_path / entry).mkdir()
    with pytest.raises(DatasetError) as raised:
        Dataset.open(tmp_path)
    assert str(raised.value) == (
        f"{tmp_path}: not a dataset. Looked for dataset.json (nnU-Net, Decathlon) and case_*/imaging.nii.gz (KiTS); "
        f'found {found}. Write a dataset.json: {{"channel_names": {{"0": "CT"}}, '
        '"labels": {"background": 0, "kidney": 1}, "file_ending": ".nii.gz"}, '
        "beside imagesTr/NAME_0000.nii.gz and labelsTr/NAME.nii.gz."
    )


def test_a_dataset_one_folder_further_down_is_suggested(tmp_path, write_dataset):
    folder = write_dataset()
    with pytest.raises(DatasetError, match=f"found dataset. Did you mean {folder}?"):
        Dataset.open(tmp_path)


def test_a_dataset_json_of_neither_kind(tmp_path, write_json):
    write_json(tmp_path, {"labels": {}, "modality": {"0": "CT"}})
    with pytest.raises(DatasetError) as raised:
        Dataset.open(tmp_path)
    assert str(raised.value) == (
        f"{tmp_path / 'dataset.json'}: neither nnU-Net's (it lacks 'channel_names' and 'file_ending') nor the "
        "Decathlon's (it lacks 'modality' or 'training'); it holds labels, modality. "
        'For nnU-Net\'s layout add "channel_names": {"0": "CT"} and "file_ending": ".nii.gz".'
    )


# --- dimensions ---------------------------------------------------------------------------------


def test_dimensions_come_from_the_first_file_that_can_be_read(write_dataset):
    folder = write_dataset()
    (folder / "imagesTr" / "a_0000.nii.gz").unlink()
    (folder / "imagesTr" / "b_0000.nii.gz").write_bytes(b"no image")
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((5, 6), np.uint8)), str(folder / "imagesTr" / "c_0000.nii.gz"))
    assert Dataset.open(folder).description.dimensions == 2


def test_dimensions_of_a_dataset_without_images_are_those_of_its_label_maps(write_dataset):
    folder = write_dataset()
    for image in (folder / "imagesTr").iterdir():
        image.unlink()
    assert Dataset.open(folder).description.dimensions == 3


def test_a_dataset_of_which_nothing_can_be_read_opens_nevertheless(write_dataset):
    folder = write_dataset(names=())
    assert open_dataset(folder).cases == ()
    assert open_dataset(folder).description.dimensions == 3


# --- cases to predict ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "channels", "expected"),
    [
        (["b.nii.gz", "a.nrrd", "notes.txt", "._c.nii.gz"], 1, {"a": ["a.nrrd"], "b": ["b.nii.gz"]}),
        (["b_0000.nii.gz", "a.nii.gz"], 1, {"a": ["a.nii.gz"], "b": ["b_0000.nii.gz"]}),
        (
            ["b_0001.nii.gz", "b_0000.nii.gz", "a_0000.nii.gz", "a_0001.nii.gz"],
            2,
            {"a": ["a_0000.nii.gz", "a_0001.nii.gz"], "b": ["b_0000.nii.gz", "b_0001.nii.gz"]},
        ),
        # four digits that are no channel of this model belong to the name
        (
            ["visit_2021.nii.gz", "visit_2022.nii.gz"],
            1,
            {"visit_2021": ["visit_2021.nii.gz"], "visit_2022": ["visit_2022.nii.gz"]},
        ),  # fmt: skip
    ],
)
def test_files_of_a_folder_are_grouped(tmp_path, write_volume, files, channels, expected):
    for file in files:
        if file.endswith(".txt") or file.startswith("."):
            (tmp_path / file).touch()
        else:
            write_volume(tmp_path / file)
    cases = find_cases([tmp_path], channels)
    assert names(cases) == expected
    assert list(names(cases)) == sorted(expected)
    assert all(case.label is None for case in cases)


def test_files_and_folders_together(tmp_path, write_volume):
    single = write_volume(tmp_path / "z.nii.gz")
    inside = write_volume(tmp_path / "folder" / "a_0000.nii.gz")
    assert names(find_cases([single, tmp_path / "folder", inside], 1)) == {"a": ["a_0000.nii.gz"], "z": ["z.nii.gz"]}


def test_the_first_channel_stands_for_its_neighbours(tmp_path, write_volume):
    first = write_volume(tmp_path / "a_0000.nii.gz")
    write_volume(tmp_path / "a_0001.nii.gz")
    assert names(find_cases([first], 2)) == {"a": ["a_0000.nii.gz", "a_0001.nii.gz"]}


@pytest.mark.parametrize("name", ["a.nii.gz", "a_0000.nii.gz"])
def test_one_file_with_all_channels(tmp_path, name):
    stack = sitk.JoinSeries([sitk.GetImageFromArray(np.zeros((3, 4, 5), np.int16))] * 4)
    sitk.WriteImage(stack, str(tmp_path / name))
    [case] = find_cases([tmp_path], 4)
    assert names([case]) == {"a": [name]}
    must_have_channels(case, ["T1", "T1c", "T2", "FLAIR"])


def test_a_dataset_stands_for_its_test_cases_or_else_its_training_cases(write_dataset, write_volume):
    folder = write_dataset()
    assert list(names(find_cases([folder], 1))) == ["a", "b", "c"]
    write_volume(folder / "imagesTs" / "t_0000.nii.gz")
    assert names(find_cases([folder], 1)) == {"t": ["t_0000.nii.gz"]}


@pytest.mark.parametrize(
    ("files", "channels", "problem"),
    [
        (["a_0000.nii.gz"], ["T1", "T2"], "{}/a_0001.nii.gz is missing; the model takes 2 channels (T1, T2). Add the"),
        (["a_0001.nii.gz"], ["T1", "T2"], "{}/a_0000.nii.gz is missing; the model takes 2 channels (T1, T2). Add the"),
        (
            ["a_0002.nii.gz"],
            ["T1", "T2", "T3"],
            "{0}/a_0000.nii.gz, {0}/a_0001.nii.gz are missing; the model takes 3 channels (T1, T2, T3). "
            "Add the files, or leave the case out.",
        ),
        (
            ["a.nii.gz"],
            ["T1", "T2"],
            "1 channel in a.nii.gz, but the model takes 2 channels (T1, T2). "
            "Give one file a channel (T1: NAME_0000, T2: NAME_0001), or one file that holds them all.",
        ),
        (
            ["a_0000.nii.gz", "a_0001.nii.gz"],
            ["CT"],
            "2 channels in a_0000.nii.gz, a_0001.nii.gz, but the model takes 1 channel (CT). Give that channel alone.",
        ),
    ],
)
def test_cases_of_other_channels(tmp_path, write_volume, files, channels, problem):
    for file in files:
        write_volume(tmp_path / file)
    [case] = find_cases([tmp_path], len(channels))
    with pytest.raises(DatasetError) as raised:
        must_have_channels(case, channels)
    assert str(raised.value).startswith(problem.format(tmp_path))


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (["a.nii.gz", "a.nrrd"], "two inputs are called 'a': {0}/a.nii.gz and {0}/a.nrrd. Rename one, or predict"),
        (["a.nii.gz", "a_0000.nii.gz"], "two inputs are called 'a': {0}/a.nii.gz and {0}/a_0000.nii.gz. Rename"),
    ],
)
def test_inputs_of_one_name(tmp_path, write_volume, files, problem):
    for file in files:
        write_volume(tmp_path / file)
    with pytest.raises(DatasetError) as raised:
        find_cases([tmp_path], 1)
    assert str(raised.value).startswith(problem.format(tmp_path))


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("absent.nii.gz", "no such file or folder. Give images, or folders of images."),
        ("empty", "no image in this folder. Images end in .nii.gz, .nii, .nrrd"),
        ("notes.txt", "not an image by its name. Images end in .nii.gz, .nii, .nrrd"),
    ],
)
def test_inputs_without_an_image(tmp_path, name, problem):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DatasetError) as raised:
        find_cases([tmp_path / name], 1)
    assert str(raised.value).startswith(f"{tmp_path / name}: {problem}")


def test_a_case_of_a_dataset_that_lacks_its_image(write_dataset):
    folder = write_dataset()
    (folder / "imagesTr" / "b_0000.nii.gz").unlink()
    _, lacking, _ = find_cases([folder], 1)
    with pytest.raises(DatasetError, match=r"imagesTr/b_0000\.nii\.gz is missing; the model takes 1 channel \(CT\)"):
        must_have_channels(lacking, ["CT"])
