"""Scores: means that leave out what is not counted, and files that come back as they were."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autoseg.errors import AutosegError
from autoseg.evaluation import Measures, Scores, check_target, read_scores

DICE = {
    "a": {"kidney": 0.9, "tumour": None, "cyst": None},
    "b": {"kidney": 0.7, "tumour": 0.2, "cyst": None},
    "c": {"kidney": 0.8, "tumour": 0.0, "cyst": None},
}
SCORES = Scores(
    cases={
        name: {
            target: Measures() if dice is None else Measures(dice=dice, hd95_mm=10 - 10 * dice, true_lesions=2)
            for target, dice in case.items()
        }
        for name, case in DICE.items()
    },
    tolerance_mm=1.5,
    unpredicted=("d", "e"),
)


def test_means_are_over_counted_cases_then_over_counted_targets() -> None:
    assert SCORES.dice == DICE
    assert SCORES.per_target == pytest.approx({"kidney": 0.8, "tumour": 0.1, "cyst": None})
    assert SCORES.mean == pytest.approx((0.8 + 0.1) / 2)


def test_means_of_every_measure() -> None:
    means = SCORES.means()
    kidney, tumour, cyst = (means[target]["hd95_mm"] for target in ("kidney", "tumour", "cyst"))
    assert (kidney.mean, kidney.cases) == (pytest.approx(2), 3)
    assert (tumour.mean, tumour.cases) == (pytest.approx(9), 2)
    assert cyst == (None, None, None, 0)
    assert kidney.low is not None and kidney.high is not None
    assert 1 <= kidney.low < 2 < kidney.high <= 3
    assert means["kidney"]["iou"] == (None, None, None, 0)
    assert means["tumour"]["true_lesions"].mean == 2


def test_the_mean_is_over_what_is_to_be_averaged() -> None:
    with_region = SCORES.model_copy(update={"averaged": ("tumour", "cyst")})
    assert with_region.mean == pytest.approx(0.1)
    assert with_region.overall().cases == 2
    assert list(with_region.table().columns) == ["tumour", "cyst"]
    assert list(with_region.means()) == ["kidney", "tumour", "cyst"]


def test_no_mean_where_nothing_counts() -> None:
    empty = Scores(cases={"a": {"kidney": Measures()}})
    assert empty.mean is None
    assert empty.per_target == {"kidney": None}


def test_table() -> None:
    table = SCORES.table()
    assert list(table.index) == ["a", "b", "c"]
    assert list(table.columns) == ["kidney", "tumour", "cyst"]
    np.testing.assert_array_equal(table.to_numpy()[:, 1], [np.nan, 0.2, 0.0])


def test_to_pandas() -> None:
    table = SCORES.to_pandas()
    assert list(table.columns) == ["case", "target", *Measures.model_fields]
    assert list(zip(table["case"], table["target"], strict=True)) == [
        (name, target) for name in "abc" for target in ("kidney", "tumour", "cyst")
    ]
    np.testing.assert_array_equal(table["dice"], [0.9, np.nan, np.nan, 0.7, 0.2, np.nan, 0.8, 0.0, np.nan])
    assert table.groupby("target")["dice"].mean()["tumour"] == pytest.approx(0.1)


def test_pandas_is_loaded_when_it_is_asked_for() -> None:
    code = "import sys, autoseg; autoseg.evaluate; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "new" / "scores.json"
    SCORES.write(path)
    assert read_scores(path) == SCORES
    content = json.loads(path.read_text())
    assert content["mean"] == pytest.approx(0.45)
    low, high = content["mean_interval"]
    assert 0.35 <= low < 0.45 < high <= 0.9
    assert content["per_target"]["cyst"] is None
    assert content["means"]["kidney"]["hd95_mm"]["mean"] == pytest.approx(2)
    assert content["means"]["cyst"]["dice"] == {"mean": None, "low": None, "high": None, "cases": 0}
    assert (content["unpredicted"], content["tolerance_mm"]) == (["d", "e"], 1.5)
    table = pd.read_csv(path.with_suffix(".csv"))
    pd.testing.assert_frame_equal(table, SCORES.to_pandas(), check_dtype=False)
    assert sorted(file.name for file in path.parent.iterdir()) == ["scores.csv", "scores.json"]


def test_the_file_says_what_its_numbers_mean(tmp_path: Path) -> None:
    SCORES.write(tmp_path / "scores.json")
    conventions = json.loads((tmp_path / "scores.json").read_text())["conventions"]
    assert set(Measures.model_fields) | {"cases", "unannotated", "means", "intervals"} == set(conventions)
    assert "counts for no measure there: null" in conventions["cases"]
    assert "the diagonal of the image" in conventions["hd95_mm"]
    assert "2000 bootstrap resamples" in conventions["intervals"] and "seed 0" in conventions["intervals"]
    assert "at least 0.1 of their union" in conventions["lesion_f1"] and "26 neighbours" in conventions["lesion_f1"]


def test_name_of_the_file(tmp_path: Path) -> None:
    for refuse in (SCORES.write, check_target):
        with pytest.raises(AutosegError, match=r"scores\.csv: scores are written as JSON\. Give a name that ends in"):
            refuse(tmp_path / "scores.csv")


@pytest.mark.parametrize(
    "content",
    ["[]", "{}", '{"format": 1, "dice": {"a": {"kidney": 0.5}}}', '{"cases": {"a": 3}}', '{"format": 2, "cases": {}}'],
)
def test_file_that_holds_something_else(tmp_path: Path, content: str) -> None:
    path = tmp_path / "scores.json"
    path.write_text(content)
    with pytest.raises(AutosegError, match=r"scores\.json: this file does not hold scores in format 2\. Remove it and"):
        read_scores(path)
