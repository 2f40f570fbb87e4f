"""Which cases belong together, by their names or by a table, and folds that part them."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.dataset import Fold
from autoseg.dataset.groups import must_not_leak, read_groups
from autoseg.errors import DatasetError

NAMES = ("anna_1", "anna_2", "bert_1")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"^([^_]+)", {"anna_1": "anna", "anna_2": "anna", "bert_1": "bert"}),
        (r"_(\d)", {"anna_1": "1", "anna_2": "2", "bert_1": "1"}),
        (r"^(?:an|be)(..)_", {"anna_1": "na", "anna_2": "na", "bert_1": "rt"}),
    ],
)
def test_groups_in_the_names(pattern: str, expected: dict[str, str]) -> None:
    assert read_groups(pattern, NAMES[::-1]) == expected


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", r"cases cannot be grouped by '\(': missing \), unterminated subpattern .* Give a regular expression\."),
        ("^anna", r"cases cannot be grouped by '\^anna': it has 0 groups in parentheses, not one\. Put those around"),
        (r"(\w+)_(\d)", "it has 2 groups in parentheses, not one"),
        ("(anna)", r"'\(anna\)' finds nothing in 'bert_1'\. Give one that fits every case's name\."),
        (r"(x*)", r"'\(x\*\)' finds nothing in 'anna_1', 'anna_2', 'bert_1'\."),
        (r"anna|(bert)", "finds nothing in 'anna_1', 'anna_2'"),
    ],
)
def test_patterns_that_do_not_group(pattern: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_groups(pattern, NAMES)


def table(tmp_path: Path, text: str, name: str = "patients.csv", encoding: str = "utf-8") -> Path:
    (tmp_path / name).write_text(text, encoding=encoding)
    return tmp_path / name


@pytest.mark.parametrize(
    ("name", "text", "encoding"),
    [
        ("p.csv", "case,age,patient\nbert_1,50,B\nanna_1,60,A\nanna_2,61,A\ncarl_1,70,C\n", "utf-8"),
        ("p.csv", "case;patient\r\nanna_1;A\r\nanna_2; A\r\nbert_1;B\r\n\r\n", "utf-8-sig"),
        ("P.TSV", 'name\tpatient\nanna_1\t"A"\nanna_2\tA\nbert_1\tB\nanna_1\tA\n', "utf-8"),
    ],
)
def test_groups_in_a_table(tmp_path: Path, name: str, text: str, encoding: str) -> None:
    """Other columns, other cases, other separators; a byte-order mark; the same case twice."""
    file = table(tmp_path, text, name, encoding)
    assert read_groups(f"{file}:patient", NAMES) == {"anna_1": "A", "anna_2": "A", "bert_1": "B"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("case,age\nanna_1,3\n", r"patients\.csv: no column 'patient' after the first, .* There is: case, age\."),
        ("patient,case\nA,anna_1\n", r"no column 'patient' after the first, which holds the names of the cases\."),
        ("", r"no column 'patient' after the first, .* There is: nothing\."),
        ("case,patient\nanna_1,A\nbert_1,\n", r"patients\.csv: no patient of 'anna_2', 'bert_1'\. The first column"),
        ("case,patient\nanna_1,A\nanna_1,B\n", r"patients\.csv: 'anna_1' has patient A and B\. Correct the table\."),
    ],
)
def test_tables_that_do_not_group(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_groups(f"{table(tmp_path, text)}:patient", NAMES)


def test_a_table_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none\.csv: cannot be read as a table \(.*No such file.*\)\. Give a CSV"):
        read_groups(f"{tmp_path / 'none.csv'}:patient", NAMES)
    (tmp_path / "latin.csv").write_bytes("case,Büro\n".encode("latin-1"))
    with pytest.raises(DatasetError, match=r"latin\.csv: cannot be read as a table .* Give a CSV file in UTF-8\."):
        read_groups(f"{tmp_path / 'latin.csv'}:patient", NAMES)


def test_a_table_with_an_endless_field(tmp_path: Path) -> None:
    (tmp_path / "open.csv").write_text('case,patient\n"anna_1,' + 140_000 * "x")
    with pytest.raises(DatasetError) as raised:
        read_groups(f"{tmp_path / 'open.csv'}:patient", NAMES)
    assert str(raised.value) == (
        f"{tmp_path / 'open.csv'}: cannot be read as a table (line 2: field larger than field limit (131072)). "
        "Correct the table; a quotation mark may be missing."
    )


def test_folds_that_part_a_group() -> None:
    groups = {"anna_1": "anna", "anna_2": "anna", "bert_1": "bert", "carl_1": "carl"}
    good = Fold(("anna_1", "anna_2"), ("bert_1",))
    must_not_leak([good, Fold(("carl_1",), ("anna_1", "anna_2"))], groups, Path("folder"))
    with pytest.raises(DatasetError) as raised:
        must_not_leak([good, Fold(("anna_1", "bert_1"), ("anna_2", "carl_1"))], groups, Path("folder"))
    assert str(raised.value) == (
        "folder: fold 1 trains on 'anna_1' and validates on 'anna_2', all of group 'anna'; its score would be "
        "flattered. Keep each group in one half, or remove the file and have folds made."
    )
