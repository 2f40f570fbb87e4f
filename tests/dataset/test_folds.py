from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset import Case, Dataset, Description, Fold, Labels, make_folds
from autoseg.errors import DatasetError


def dataset(names: list[str], **fields: object) -> Dataset:
    description = Description(name="d", channels=("CT",), labels=Labels(values={"background": 0, "a": 1}))
    return Dataset(Path("folder"), description, tuple(Case(name, (), None) for name in names), **fields)


def named(count: int) -> list[str]:
    return [f"case_{number:03d}" for number in range(count)]


@pytest.mark.parametrize("count", [5, 7, 20, 23, 200])
def test_folds_are_those_of_scikit_learn(count):
    model_selection = pytest.importorskip("sklearn.model_selection")
    names = np.array(named(count))
    expected = model_selection.KFold(5, shuffle=True, random_state=12345).split(names)
    assert make_folds(dataset(named(count))) == tuple(
        Fold(tuple(names[training]), tuple(names[validation])) for training, validation in expected
    )


def test_seven_cases_worked_by_hand():
    """np.random.RandomState(12345) shuffles 0…6 to 6 3 4 0 1 5 2; the runs are 6 3 | 4 0 | 1 | 5 | 2."""
    found = [fold.validation for fold in make_folds(dataset(list("abcdefg")))]
    assert found == [("d", "g"), ("a", "e"), ("b",), ("f",), ("c",)]


@pytest.mark.parametrize(("count", "expected"), [(2, 2), (3, 3), (4, 4), (5, 5), (6, 5), (101, 5)])
def test_each_case_is_validated_once(count, expected):
    folds = make_folds(dataset(named(count)))
    assert len(folds) == expected
    assert sorted(name for fold in folds for name in fold.validation) == named(count)
    for fold in folds:
        assert sorted(fold.training + fold.validation) == named(count)
        assert list(fold.training) == sorted(fold.training)
        assert list(fold.validation) == sorted(fold.validation)
        assert all(type(name) is str for name in fold.training)


def test_the_order_of_the_cases_does_not_matter():
    assert make_folds(dataset(named(20)[::-1])) == make_folds(dataset(named(20)))


def test_another_number_of_folds_and_another_seed():
    assert len(make_folds(dataset(named(20)), folds=3)) == 3
    assert make_folds(dataset(named(20)), seed=1) != make_folds(dataset(named(20)))


def test_the_splits_of_the_dataset_win():
    splits = ((("case_000",), ("case_002",)),)
    assert make_folds(dataset(named(20), splits=splits)) == (Fold(("case_000",), ("case_002",)),)


def test_no_cases():
    with pytest.raises(DatasetError) as raised:
        make_folds(dataset([]))
    assert str(raised.value) == ("folder: no training cases; cross-validation takes two. Add cases with label maps.")


def test_the_fold_of_a_single_case_has_nothing_to_train_on():
    assert make_folds(dataset(["a"])) == (Fold((), ("a",)),)
