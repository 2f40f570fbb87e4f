from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.dataset import Case, Dataset, Description, Labels
from autoseg.errors import DatasetError

DESCRIPTION = Description(name="d", channels=("CT",), labels=Labels(values={"background": 0, "a": 1}))
HIPPOCAMPUS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "hippocampus"


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


@pytest.mark.skipif(not HIPPOCAMPUS.exists(), reason=f"the hippocampus dataset is not at {HIPPOCAMPUS}")
def test_the_hippocampus_dataset():
    dataset = Dataset.open(HIPPOCAMPUS)
    assert dataset.description.name == "Hippocampus"
    assert dataset.description.channels == ("MRI",)
    assert dataset.description.labels.values == {"background": 0, "Anterior": 1, "Posterior": 2}
    assert len(dataset.cases) == dataset.declared_cases == 200
    assert all(path.exists() for case in dataset.cases for path in (*case.images, case.label))
