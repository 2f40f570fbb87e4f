from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from autoseg.dataset import IGNORE_CLASS, Labels, Region
from autoseg.errors import DatasetError

KIDNEYS = Labels(values={"background": 0, "kidney": 1, "tumour": 2})
SPARSE = Labels(values={"tumour": 255, "background": 0, "kidney": 7, "left": -3}, ignore=99)
BRAIN = Labels(
    values={"background": 0, "oedema": 1, "core": 2, "enhancing": 4},
    regions={
        "whole tumour": Region(values=(1, 2, 4), paint=1),
        "tumour core": Region(values=(2, 4), paint=2),
        "enhancing": Region(values=(4,), paint=4),
    },
)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"values": {"kidney": 1, "tumour": 2}}, "labels need a background of value 0"),
        ({"values": {"background": 0}}, "labels need at least one besides the background"),
        (
            {"values": {"background": 0, "a": 1, "b": 1}},
            "two labels have the same value: {'background': 0, 'a': 1,",
        ),
        ({"values": {"background": 0, "a": 2**31}}, "2147483648 is no integer of 32 bits"),
        ({"values": {"background": 0, "a": 1}, "ignore": 1}, "the ignore value 1 is also the value of a label"),
        (
            {"values": {"background": 0, "a": 1}, "regions": {"r": Region(values=(1, 2), paint=1)}},
            r"region 'r' must consist of foreground labels, not \[1, 2\]",
        ),
        ({"values": {"background": 0, "a": 1}, "regions": {"r": Region(values=(0, 1), paint=1)}}, r"not \[0, 1\]"),
        ({"values": {"background": 0, "a": 1}, "regions": {"r": Region(values=(), paint=1)}}, r"not \[\]"),
        (
            {"values": {"background": 0, "a": 1, "b": 4, "c": 5}, "regions": {"r": Region(values=(1, 4), paint=5)}},
            r"region 'r' consists of a 1, b 4 and must be painted with one of these values, not with 5 \(regions_class",
        ),
        ({"values": {"background": 0, "a": 1}, "lables": {}}, "Extra inputs are not permitted"),
    ],
)
def test_inconsistent_labels_are_refused(fields, complaint):
    with pytest.raises(ValidationError, match=complaint):
        Labels(**fields)


@pytest.mark.parametrize(
    ("labels", "classes", "outputs"),
    [(KIDNEYS, (0, 1, 2), 3), (SPARSE, (0, -3, 7, 255), 4), (BRAIN, (0, 1, 2, 4), 3)],
)
def test_classes_ascend_with_the_background_first(labels, classes, outputs):
    assert labels.classes == classes
    assert labels.outputs == outputs


@pytest.mark.parametrize(
    ("labels", "targets", "target_classes"),
    [
        (KIDNEYS, {"kidney": (1,), "tumour": (2,)}, {"kidney": (1,), "tumour": (2,)}),
        (SPARSE, {"left": (-3,), "kidney": (7,), "tumour": (255,)}, {"left": (1,), "kidney": (2,), "tumour": (3,)}),
        (
            BRAIN,
            {"whole tumour": (1, 2, 4), "tumour core": (2, 4), "enhancing": (4,)},
            {"whole tumour": (1, 2, 3), "tumour core": (2, 3), "enhancing": (3,)},
        ),
    ],
)
def test_targets(labels, targets, target_classes):
    assert labels.targets == targets
    assert list(labels.targets) == list(targets)
    assert labels.target_classes == target_classes


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint32, np.int64])
def test_to_classes_whatever_the_type_of_the_map(dtype):
    found = KIDNEYS.to_classes(np.array([[0, 1], [2, 1]], dtype=dtype))
    assert found.dtype == np.int16
    assert found.tolist() == [[0, 1], [2, 1]]


def test_to_classes_of_sparse_negative_and_ignored_values():
    assert SPARSE.to_classes(np.array([0, -3, 7, 255, 99])).tolist() == [0, 1, 2, 3, IGNORE_CLASS]


def test_to_classes_of_values_far_apart(monkeypatch):
    """As in atlases; no table of that length is made."""
    atlas = Labels(values={"background": 0, "VISp": 385, "unassigned": 614454277}, ignore=-7)
    label_map = np.array([[614454277, 0], [385, -7]])
    assert atlas.to_classes(label_map).tolist() == [[2, 0], [1, IGNORE_CLASS]]
    with pytest.raises(DatasetError, match="holds value 614454276, which"):
        atlas.to_classes(label_map - np.array([[1, 0], [0, 0]]))
    of_table = SPARSE.to_classes(spread := np.array([0, -3, 7, 255, 99]))
    monkeypatch.setattr("autoseg.dataset.labels.LARGEST_TABLE", 2)
    assert SPARSE.to_classes(spread).tolist() == of_table.tolist()


def test_to_classes_of_an_empty_array():
    assert KIDNEYS.to_classes(np.zeros((0, 3), dtype=np.uint8)).shape == (0, 3)


@pytest.mark.parametrize(
    ("label_map", "found"),
    [
        ([0, 1, 3], "value 3"),
        ([0, 500, 9], "values 9, 500"),
        ([-1024, 0], "value -1024"),
        (range(3, 13), "values 3, 4, 5, 6, 7, 8, 9, 10 and 2 more"),
    ],
)
def test_undeclared_values_are_named(label_map, found):
    with pytest.raises(DatasetError) as raised:
        KIDNEYS.to_classes(np.array(label_map))
    text = str(raised.value)
    assert text.startswith(f"the label map holds {found}, which the dataset does")
    assert "which the dataset does not declare (declared: background 0, kidney 1, tumour 2)." in text
    assert text.endswith("Declare the value in dataset.json, or correct the map.")


def test_a_value_between_declared_ones_is_found_too():
    with pytest.raises(DatasetError, match="holds value 3, which"):
        BRAIN.to_classes(np.array([0, 3, 4]))


def test_undeclared_knows_the_ignore_value():
    assert SPARSE.undeclared([0, 7, 99]) is None
    assert SPARSE.described() == "tumour 255, background 0, kidney 7, left -3, ignore 99"


@pytest.mark.parametrize(
    ("values", "dtype"),
    [((1, 2), np.uint8), ((1, 255), np.uint8), ((1, 256), np.uint16), ((1, 70000), np.uint32)]
    + [((-1, 2), np.int16), ((-1, 40000), np.int32)],
)
def test_dtype_holds_every_value_that_is_written(values, dtype):
    assert Labels(values={"background": 0, "a": values[0], "b": values[1]}).dtype() is dtype


def test_labels_survive_json():
    assert Labels.model_validate_json(BRAIN.model_dump_json()) == BRAIN
