"""Scores: means that leave out what is not counted, and files that come back as they were."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autoseg.errors import AutosegError
from autoseg.evaluation import Scores, read_scores

SCORES = Scores(
    dice={
        "a": {"kidney": 0.9, "tumour": None, "cyst": None},
        "b": {"kidney": 0.7, "tumour": 0.2, "cyst": None},
        "c": {"kidney": 0.8, "tumour": 0.0, "cyst": None},
    },
    unpredicted=("d", "e"),
)


def test_means_are_over_counted_cases_then_over_counted_targets() -> None:
    assert SCORES.per_target == pytest.approx({"kidney": 0.8, "tumour": 0.1, "cyst": None})
    assert SCORES.mean == pytest.approx((0.8 + 0.1) / 2)


def test_no_mean_where_nothing_counts() -> None:
    empty = Scores(dice={"a": {"kidney": None}})
    assert empty.mean is None
    assert empty.per_target == {"kidney": None}


def test_table() -> None:
    table = SCORES.table()
    assert list(table.index) == ["a", "b", "c"]
    assert list(table.columns) == ["kidney", "tumour", "cyst"]
    np.testing.assert_array_equal(table.to_numpy()[:, 1], [np.nan, 0.2, 0.0])


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "new" / "scores.json"
    SCORES.write(path)
    assert read_scores(path) == SCORES
    content = json.loads(path.read_text())
    assert content["mean"] == pytest.approx(0.45)
    assert content["per_target"]["cyst"] is None
    assert content["unpredicted"] == ["d", "e"]
    assert "not counted" in content["rule"] and "the mean is over the targets" in content["rule"]
    table = pd.read_csv(path.with_suffix(".csv"), index_col="case")
    np.testing.assert_allclose(table.to_numpy(float), SCORES.table().to_numpy())
    assert sorted(file.name for file in path.parent.iterdir()) == ["scores.csv", "scores.json"]


def test_name_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(AutosegError, match=r"scores\.csv: scores are written as JSON\. Give a name that ends in"):
        SCORES.write(tmp_path / "scores.csv")


@pytest.mark.parametrize("content", ["[]", "{}", '{"format": 2, "dice": {"a": {}}}', '{"dice": {"a": 3}}'])
def test_file_that_holds_something_else(tmp_path: Path, content: str) -> None:
    path = tmp_path / "scores.json"
    path.write_text(content)
    with pytest.raises(AutosegError, match=r"scores\.json: this file does not hold scores in format 1"):
        read_scores(path)
