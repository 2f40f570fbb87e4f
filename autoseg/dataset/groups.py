"""Which cases belong together: the scans of one patient, the slices of one volume.

Comes in: the names of the cases, and a rule. Goes out: case → group, for folds that keep a group on one side.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from autoseg.dataset.folds import Fold
from autoseg.errors import DatasetError
from autoseg.phrases import quoted

TABLE_ENDINGS = (".csv", ".tsv")
SEPARATORS = ",;\t"


def read_groups(rule: str, names: Collection[str]) -> dict[str, str]:
    """The group of every case.

    Args:
        rule: a regular expression with one group in parentheses, whose first match in the name of a case is what the
            cases are grouped by; or FILE.csv:COLUMN, a table whose first column holds the names of the cases.
        names: of the cases.

    Raises:
        DatasetError: the rule is neither, or a case has no group by it.

    >>> read_groups(r"^(.+)_visit", ["anna_visit1", "anna_visit2", "bert_visit1"])
    {'anna_visit1': 'anna', 'anna_visit2': 'anna', 'bert_visit1': 'bert'}
    """
    file, _, column = rule.rpartition(":")
    if file.lower().endswith(TABLE_ENDINGS):
        return _from_table(Path(file), column, sorted(names))
    return _from_names(rule, sorted(names))


def must_not_leak(folds: Sequence[Fold], groups: Mapping[str, str], source: Path) -> None:
    """Refuses folds in which a model learns from a group that it is scored on.

    Args:
        folds: their cases are those of the groups.
        groups: case → group.
        source: where the folds are from, for the error.

    Raises:
        DatasetError: a group is in both halves of a fold.
    """
    for number, fold in enumerate(folds):
        halves = [_by_group(half, groups) for half in fold]
        for group in sorted(set(halves[0]) & set(halves[1])):
            training, validation = (quoted(half[group]) for half in halves)
            raise DatasetError(
                f"{source}: fold {number} trains on {training} and validates on {validation}, all of group '{group}'; "
                "its score would be flattered. Keep each group in one half, or remove the file and have folds made."
            )


def _from_names(pattern: str, names: Sequence[str]) -> dict[str, str]:
    try:
        compiled = re.compile(pattern)
    except re.error as problem:
        raise DatasetError(f"cases cannot be grouped by '{pattern}': {problem}. Give a regular expression.") from None
    if compiled.groups != 1:
        raise DatasetError(
            f"cases cannot be grouped by '{pattern}': it has {compiled.groups} groups in parentheses, not one. "
            r"Put those around what names the patient, as in '^(\w+)_scan', or give FILE.csv:COLUMN."
        )
    found = {name: match[1] for name in names if (match := compiled.search(name)) and match[1]}
    if without := [name for name in names if name not in found]:
        raise DatasetError(f"'{pattern}' finds nothing in {quoted(without)}. Give one that fits every case's name.")
    return found


def _from_table(file: Path, column: str, names: Sequence[str]) -> dict[str, str]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            header = opened.readline()
            opened.seek(0)
            reader = csv.reader(opened, delimiter=max(SEPARATORS, key=header.count))
            rows = list(reader)
    except csv.Error as problem:
        raise DatasetError(
            f"{file}: cannot be read as a table (line {reader.line_num}: {problem}). Correct the table; a quotation "
            "mark may be missing."
        ) from None
    except (OSError, UnicodeDecodeError) as problem:
        raise DatasetError(f"{file}: cannot be read as a table ({problem}). Give a CSV file in UTF-8.") from None
    columns = [title.strip() for title in rows[0]] if rows else []
    if column not in columns[1:]:
        raise DatasetError(
            f"{file}: no column '{column}' after the first, which holds the names of the cases. "
            f"There is: {', '.join(columns) or 'nothing'}."
        )
    place = columns.index(column, 1)
    found: dict[str, str] = {}
    for row in rows[1:]:
        if len(row) <= place or not row[place].strip() or row[0].strip() not in names:
            continue
        name, group = row[0].strip(), row[place].strip()
        if found.setdefault(name, group) != group:
            raise DatasetError(f"{file}: '{name}' has {column} {found[name]} and {group}. Correct the table.")
    if without := [name for name in names if name not in found]:
        raise DatasetError(
            f"{file}: no {column} of {quoted(without)}. The first column holds names as the dataset has them; "
            "add what is missing."
        )
    return {name: found[name] for name in names}


def _by_group(names: Sequence[str], groups: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for name in names:
        found[groups[name]].append(name)
    return found
