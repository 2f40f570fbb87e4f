from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.dataset import Case, Dataset, Description, Labels
from autoseg.errors import DatasetError

DESCRIPTION = Description(name="d", channels=("CT",), labels=Labels(values={"background": 0, "a": 1}))


@pytest.mark.parametrize("field", ["cases", "test_cases"])
def test_names_are_unique(field):
    cases = tuple(Case(name, (), None) for name in "abcbb")
    with pytest.raises(DatasetError) as raised:
        Dataset(Path("folder"), DESCRIPTION, **{"cases": (), field: cases})
    assert str(raised.value) == "folder: 3 cases are called 'b'. Give each a name of its own."


@pytest.mark.parametrize("field", ["cases", "test_cases"])
@pytest.mark.parametrize("name", ["../x", "a/b", "a\\b", "/x", "", ".", ".x"])
def test_names_are_good_for_files(name, field):
    with pytest.raises(DatasetError) as raised:
        Dataset(Path("folder"), DESCRIPTION, **{"cases": (), field: (Case("a", (), None), Case(name, (), None))})
    assert str(raised.value) == (
        f"folder: a case is called '{name}', and files are named after cases. "
        "Give it a name without / and \\ that does not begin with a dot."
    )


def test_a_test_case_may_be_called_like_a_training_case():
    cases = (Case("a", (), None),)
    assert Dataset(Path("folder"), DESCRIPTION, cases, cases).test_cases == cases


def test_the_hippocampus_dataset(real_data):
    dataset = Dataset.open(real_data("hippocampus"))
    assert dataset.description.name == "Hippocampus"
    assert dataset.description.channels == ("MRI",)
    assert dataset.description.labels.values == {"background": 0, "Anterior": 1, "Posterior": 2}
    assert len(dataset.cases) == dataset.declared_cases == 200
    assert all(path.exists() for case in dataset.cases for path in (*case.images, case.label))


def test_label_maps_alone(write_dataset):
    folder = write_dataset()
    assert Dataset.open(folder).has_images
    Dataset.open(folder).require_images()
    first, *others = sorted((folder / "imagesTr").iterdir())
    for image in others:
        image.unlink()
    assert Dataset.open(folder).has_images  # two are missing, which is a mistake
    first.unlink()
    dataset = Dataset.open(folder)
    assert not dataset.has_images
    with pytest.raises(DatasetError) as raised:
        dataset.require_images()
    assert str(raised.value) == (
        f"{folder}: 3 cases with label maps and not one image (looked for imagesTr/a_0000.nii.gz and so on). Such a "
        "dataset can be measured and planned for. To train, add the images and derive the plan again."
    )
    for label in (folder / "labelsTr").iterdir():
        label.unlink()
    assert Dataset(folder, dataset.description, dataset.cases).has_images  # with nothing there, files are missing
