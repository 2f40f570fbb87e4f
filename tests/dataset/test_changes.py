from __future__ import annotations

import os
from dataclasses import replace

import pytest

from autoseg.dataset import Case, files_hash


@pytest.fixture
def cases(tmp_path):
    for name in ("a_0000", "a_0001", "a", "b_0000", "b"):
        (tmp_path / name).write_text(name)
    return (
        Case("a", (tmp_path / "a_0000", tmp_path / "a_0001"), tmp_path / "a"),
        Case("b", (tmp_path / "b_0000",), tmp_path / "b"),
    )


def touch(path):
    os.utime(path, ns=(0, 0))


def grow(path):
    before = path.stat()
    path.write_text("longer than before")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def remove(path):
    path.unlink()


@pytest.mark.parametrize("name", ["a_0000", "a_0001", "a", "b"])
@pytest.mark.parametrize("change", [touch, grow, remove])
def test_it_changes_with_every_file(cases, tmp_path, name, change):
    before = files_hash(cases)
    assert files_hash(cases) == before
    change(tmp_path / name)
    assert files_hash(cases) != before


def test_it_changes_with_the_cases(cases):
    first, second = cases
    others = [(first,), (second, first), (first, replace(second, label=None)), (first, replace(second, name="c"))]
    assert len({files_hash(cases), *map(files_hash, others)}) == 5


def test_a_dataset_that_is_moved_keeps_it(cases, tmp_path):
    before = files_hash(cases[1:])
    for path in (tmp_path / "b", tmp_path / "b_0000"):
        (tmp_path / "new").mkdir(exist_ok=True)
        path.rename(tmp_path / "new" / path.name)
    assert files_hash([Case("b", (tmp_path / "new" / "b_0000",), tmp_path / "new" / "b")]) == before
