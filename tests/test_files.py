"""Files that are whole or absent."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autoseg.errors import DatasetError
from autoseg.files import atomic_path, content_hash, read_frozen, read_json, write_bytes, write_json, write_text
from autoseg.frozen import Frozen


def test_writers_make_the_folder_and_leave_nothing_beside(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    write_bytes(folder / "bytes", b"\x00\xff")
    write_text(folder / "text", "5 µm")
    write_json(folder / "data.json", {"name": "Größe", "values": (1, 2.5, None)})
    assert (folder / "bytes").read_bytes() == b"\x00\xff"
    assert (folder / "text").read_text(encoding="utf-8") == "5 µm"
    assert read_json(folder / "data.json") == {"name": "Größe", "values": [1, 2.5, None]}
    assert (folder / "data.json").read_text(encoding="utf-8").endswith("}\n")
    assert sorted(file.name for file in folder.iterdir()) == ["bytes", "data.json", "text"]


def test_failure_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_text(target, "old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("new, by half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_kill_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_text(target, "old")
    script = f"""
import os, pathlib
from autoseg.files import atomic_path
with atomic_path(pathlib.Path({str(target)!r})) as temporary:
    temporary.write_text("new")
    os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[1]).returncode == 9
    assert target.read_text() == "old"


def test_target_appears_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "image.nii.gz"
    with atomic_path(target, suffix=".nii.gz") as temporary:
        temporary.write_text("content")
        assert not target.exists()
        assert temporary.parent == target.parent
        assert temporary.name.startswith(".") and temporary.name.endswith(".nii.gz")
    assert target.read_text() == "content"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_has_no_nan(tmp_path: Path, value: float) -> None:
    target = tmp_path / "data.json"
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(target, {"value": value})
    assert not target.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"data\.json: no such file\."),
        (b"{", r"data\.json: not a JSON file \(.*line 1 column 2.*\)\. Mend it or remove it\."),
        (b"\xff", r"data\.json: not a JSON file"),
        (b'[{"a": {"b": 1, "c": 2, "b": 1}}]', r"data\.json: 'b' is given twice\. Keep one of the two\.$"),
    ],
)
def test_unreadable_json(tmp_path: Path, content: bytes | None, message: str) -> None:
    source = tmp_path / "data.json"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        read_json(source, DatasetError)


class Point(Frozen):
    """A record."""

    x: int


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{}", "not a point: field 'x': is missing. Draw it anew."),
        ('{"x": "a"}', "not a point: field 'x': must be a whole number (found \"a\"). Draw it anew."),
        ("[]", "not a point: must be an object {…} (found []). Draw it anew."),
    ],
)
def test_a_file_that_does_not_hold_what_is_expected(tmp_path: Path, content: str, complaint: str) -> None:
    file = tmp_path / "point.json"
    file.write_text(content)
    with pytest.raises(DatasetError) as raised:
        read_frozen(Point, file, DatasetError, "a point", "Draw it anew.")
    assert str(raised.value) == f"{file}: {complaint}"


@pytest.mark.parametrize(
    ("make", "found"), [(Path.mkdir, "a folder"), (os.mkfifo, "a pipe or a device")], ids=["folder", "pipe"]
)
def test_json_is_read_from_regular_files(tmp_path: Path, make: Callable[[Path], None], found: str) -> None:
    """Nobody writes to the pipe, so reading it would not end."""
    source = tmp_path / "data.json"
    make(source)
    with pytest.raises(DatasetError) as refused:
        read_json(source, DatasetError)
    assert str(refused.value) == f"{source}: {found}, and a JSON file is needed. Give the path of one."


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}, True),
        ((1, 2), [1, 2], True),
        ([1, 2], [2, 1], False),
        ({"a": 1}, {"a": 1.5}, False),
        ({"a": "ä"}, {"a": "a"}, False),
    ],
)
def test_content_hash(first: object, second: object, equal: bool) -> None:
    assert (content_hash(first) == content_hash(second)) is equal
    assert len(content_hash(first)) == 12


def test_content_hash_is_the_same_in_every_run() -> None:
    assert content_hash({"spacing_mm": [1.0, 0.5], "name": "é"}) == "f7adfeae2a37"


def test_what_a_killed_process_left_is_removed(tmp_path):
    gone = 2**22 + 1  # above the largest process number of Linux
    here = platform.node()
    for name in (f".a[1].json.{gone}@{here}.tmp", f".b.nii.gz.{gone}@{here}.tmp.nii.gz"):
        (tmp_path / name).write_text("half")
    kept = {
        f".a[1].json.{os.getppid()}@{here}.tmp": "half, of a process that is still writing",
        f".a[1].json.{gone}@{here}-too.tmp": "half, of a process of another machine that shares the folder",
        f".a[1].json.{gone}.tmp": "of another program",
    }
    for name, content in kept.items():
        (tmp_path / name).write_text(content)
    write_json(tmp_path / "a[1].json", {})
    assert {path.name for path in tmp_path.iterdir()} == {*kept, "a[1].json"}
