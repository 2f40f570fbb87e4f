from __future__ import annotations

import json

import pytest

from autoseg.dataset import Dataset
from autoseg.dataset.splits import read_splits
from autoseg.errors import DatasetError

NAMES = ("a", "b", "c")


@pytest.mark.parametrize("file", ["splits_final.json", "splits.json"])
def test_splits_are_read_and_ordered(tmp_path, file):
    (tmp_path / file).write_text(
        json.dumps([{"train": ["c", "a"], "val": ["b"]}, {"train": ["b"], "val": ["a"], "note": 1}])
    )
    assert read_splits(tmp_path, NAMES) == ((("a", "c"), ("b",)), (("b",), ("a",)))


def test_no_file_no_splits(tmp_path):
    assert read_splits(tmp_path, NAMES) is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({}, 'must hold a list of folds, [{"train": ["…"], "val": ["…"]}, …].'),
        ([], "must hold a list of folds"),
        ([["a"]], "fold 0 must list case names under 'train' and under 'val'."),
        (
            [{"train": ["a"], "val": ["b"]}, {"train": ["a"]}],
            "fold 1 must list case names under 'train' and under 'val'.",
        ),
        ([{"train": ["a"], "val": []}], "fold 0 must list case names under 'train' and under 'val'."),
        ([{"train": ["a"], "val": [2]}], "fold 0 must list case names under 'train' and under 'val'."),
        ([{"train": ["a", "x"], "val": ["y"]}], "fold 0 names 'x', 'y', which the dataset lacks. Correct the file or"),
        ([{"train": list("defghij"), "val": ["a"]}], "fold 0 names 'd', 'e', 'f', 'g', 'h' and 2 more, which the"),
        ([{"train": ["a", "b", "a"], "val": ["c"]}], "fold 0 lists 'a' twice in one half. Keep each case once."),
        ([{"train": ["a"], "val": ["c", "b", "b", "c"]}], "fold 0 lists 'b', 'c' twice in one half. Keep each case"),
        (
            [{"train": ["a", "b"], "val": ["b", "c"]}],
            "fold 0 has 'b' in both halves; its score would be flattered. Keep each case in one.",
        ),
    ],
)
def test_faults(tmp_path, content, problem):
    (tmp_path / "splits.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError) as raised:
        read_splits(tmp_path, NAMES)
    assert str(raised.value).startswith(f"{tmp_path / 'splits.json'}: {problem}")


def test_a_dataset_brings_its_splits(write_dataset):
    folder = write_dataset()
    (folder / "splits_final.json").write_text(json.dumps([{"train": ["a", "b"], "val": ["c"]}]))
    assert Dataset.open(folder).splits == ((("a", "b"), ("c",)),)
