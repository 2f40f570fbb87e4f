from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import autoseg.preprocessing.dataset
from autoseg.dataset.dataset import Case, Dataset
from autoseg.dataset.description import Description
from autoseg.dataset.images import read_image, read_label_map, write_image, write_label_map
from autoseg.dataset.labels import Labels
from autoseg.dataset.synthetic import generate_kidneys
from autoseg.errors import AutosegError, DatasetError, WorkspaceError
from autoseg.geometry import plain_grid
from autoseg.plan.preprocessing import Preprocessing, ZScore
from autoseg.preprocessing.dataset import prepare_dataset
from autoseg.preprocessing.preparing import prepare_image, prepare_labels
from autoseg.preprocessing.store import update_record

LABELS = Labels(values={"background": 0, "kidney": 1, "tumour": 2})
PREPROCESSING = Preprocessing(spacing_mm=(1.0, 1.0, 1.0), normalisation=(ZScore(),))
PATCH = (8, 8, 8)
NAMES = ("a", "b", "c")
GRID = plain_grid((10, 12, 14), (2.0, 1.0, 1.5))


@pytest.fixture
def dataset(tmp_path):
    generator = np.random.default_rng(0)
    folder = tmp_path / "kidneys"
    folder.mkdir()
    cases = tuple(Case(name, (folder / f"{name}_0000.nii.gz",), folder / f"{name}.nii.gz") for name in NAMES)
    for case in cases:
        write_image(case.images[0], generator.normal(size=GRID.shape).astype(np.float32), GRID)
        write_label_map(case.label, generator.integers(0, 3, size=GRID.shape).astype(np.uint8), GRID)
    return Dataset(folder, Description(name="kidneys", channels=("CT",), labels=LABELS), cases)


def prepare(dataset, tmp_path, processes=1, **changes):
    return prepare_dataset(dataset, PREPROCESSING, PATCH, tmp_path / "prepared", processes, **changes)


def state(tmp_path):
    """What lies in the folder: name → (time of change, content)."""
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "prepared").iterdir()}


def test_cases_are_prepared_as_one_by_one(dataset, tmp_path):
    prepared = prepare(dataset, tmp_path)
    assert [case.name for case in prepared] == list(NAMES)
    for case, source in zip(prepared, dataset.cases, strict=True):
        array, placement = prepare_image(read_image(*source.images), PREPROCESSING)
        class_map = prepare_labels(read_label_map(source.label)[0], placement, LABELS)
        np.testing.assert_array_equal(case.image()[:], array)
        np.testing.assert_array_equal(case.labels()[0], class_map)
        assert case.placement == placement
        assert case.record.shape == array.shape
        assert [Path(file.path) for file in case.record.sources] == [*source.images, source.label]
        for index, voxels in enumerate(case.locations().targets, start=1):
            assert (class_map[tuple(voxels.T)] == index).all()
        assert case.record.located == ((class_map == 1).sum(), (class_map == 2).sum())


def test_a_second_run_does_nothing(dataset, tmp_path):
    prepare(dataset, tmp_path)
    before = state(tmp_path)
    prepare(dataset, tmp_path)
    assert state(tmp_path) == before


@pytest.mark.parametrize("lost", ["b.json", "b.image.b2nd", "b.labels.b2nd", "b.locations.npz"])
def test_a_lost_file_redoes_its_case_with_the_same_bytes(lost, dataset, tmp_path):
    prepare(dataset, tmp_path)
    before = state(tmp_path)
    (tmp_path / "prepared" / lost).unlink()
    prepare(dataset, tmp_path)
    after = state(tmp_path)
    assert {name: content for name, (_, content) in after.items()} == {
        name: content for name, (_, content) in before.items()
    }
    redone = {name for name in after if after[name] != before[name]}
    assert redone == {"b.image.b2nd", "b.labels.b2nd", "b.locations.npz", "b.json"}


def test_a_file_that_a_power_cut_shortened_is_written_again(dataset, tmp_path):
    prepare(dataset, tmp_path)
    before = state(tmp_path)
    with (tmp_path / "prepared" / "b.labels.b2nd").open("rb+") as file:
        file.truncate(100)
    prepare(dataset, tmp_path)
    after = state(tmp_path)
    assert {name: content for name, (_, content) in after.items()} == {
        name: content for name, (_, content) in before.items()
    }


@pytest.mark.parametrize("left", [["b.image.b2nd"], ["b.image.b2nd", "b.labels.b2nd", ".b.json.123.tmp"]])
def test_what_a_kill_left_of_a_case_is_done_again(left, dataset, tmp_path):
    (tmp_path / "prepared").mkdir()
    for name in left:
        (tmp_path / "prepared" / name).write_bytes(b"half")
    prepared = prepare(dataset, tmp_path)
    np.testing.assert_array_equal(
        prepared[1].image()[:], prepare_image(read_image(*dataset.cases[1].images), PREPROCESSING)[0]
    )


@pytest.mark.parametrize("which", ["image", "label"])
def test_a_changed_source_redoes_its_case(which, dataset, tmp_path):
    prepare(dataset, tmp_path)
    before = state(tmp_path)
    if which == "image":
        write_image(dataset.cases[2].images[0], np.ones(GRID.shape, dtype=np.float32), GRID)
    else:
        write_label_map(dataset.cases[2].label, np.ones(GRID.shape, dtype=np.uint8), GRID)
    prepare(dataset, tmp_path)
    assert {name for name, found in state(tmp_path).items() if found != before[name]} == {
        "c.image.b2nd",
        "c.labels.b2nd",
        "c.locations.npz",
        "c.json",
    }


def touch(dataset):
    os.utime(dataset.cases[1].images[0], ns=(0, 0))
    return dataset


def copy(dataset):
    folder = dataset.path.with_name("copied")
    shutil.copytree(dataset.path, folder)
    cases = [Case(case.name, (folder / case.images[0].name,), folder / case.label.name) for case in dataset.cases]
    return replace(dataset, path=folder, cases=tuple(cases))


@pytest.mark.parametrize(("change", "changed"), [(touch, {"b.json"}), (copy, {"a.json", "b.json", "c.json"})])
def test_files_of_the_same_content_are_not_prepared_again(change, changed, dataset, tmp_path):
    prepare(dataset, tmp_path)
    before = state(tmp_path)
    dataset = change(dataset)
    prepared = prepare(dataset, tmp_path)
    after = state(tmp_path)
    assert {name for name in after if after[name] != before[name]} == changed
    for case, source in zip(prepared, dataset.cases, strict=True):  # so that the next time nothing is read
        files = [*source.images, source.label]
        assert [Path(file.path) for file in case.record.sources] == files
        assert [file.modified_ns for file in case.record.sources] == [path.stat().st_mtime_ns for path in files]
    prepare(dataset, tmp_path)
    assert state(tmp_path) == after


def link(dataset):
    """The files go to where their names say nothing, as DVC keeps them, and links come in their places."""
    cache = dataset.path.with_name("cache")
    cache.mkdir()
    for number, path in enumerate(sorted(dataset.path.iterdir())):
        path.rename(cache / f"{number:032x}")
        path.symlink_to(cache / f"{number:032x}")


def test_of_a_link_its_own_name_is_recorded_and_what_it_points_at_is_watched(dataset, tmp_path):
    link(dataset)
    prepared = prepare(dataset, tmp_path)
    for case, source in zip(prepared, dataset.cases, strict=True):
        files = [*source.images, source.label]
        assert [Path(file.path) for file in case.record.sources] == files
        assert [file.size for file in case.record.sources] == [path.resolve().stat().st_size for path in files]
    before = state(tmp_path)
    prepare(dataset, tmp_path)
    assert state(tmp_path) == before
    elsewhere = tmp_path / "elsewhere.nii.gz"
    write_label_map(elsewhere, np.ones(GRID.shape, dtype=np.uint8), GRID)
    elsewhere.replace(dataset.cases[1].label.resolve())
    assert (prepare(dataset, tmp_path)[1].labels()[:] == 1).all()


def test_a_record_of_what_links_point_at_is_brought_up_to_date_and_nothing_prepared(dataset, tmp_path):
    link(dataset)
    for case in prepare(dataset, tmp_path):
        sources = tuple(one.model_copy(update={"path": os.path.realpath(one.path)}) for one in case.record.sources)
        update_record(case, case.record.model_copy(update={"sources": sources}))
    before = state(tmp_path)
    prepared = prepare(dataset, tmp_path)
    assert [Path(case.record.sources[-1].path) for case in prepared] == [case.label for case in dataset.cases]
    assert {name for name, found in state(tmp_path).items() if found != before[name]} == {"a.json", "b.json", "c.json"}


def test_a_dataset_reached_through_a_link_is_the_same(dataset, tmp_path):
    prepare(dataset, tmp_path)
    before = state(tmp_path)
    other = tmp_path / "other"
    other.symlink_to(dataset.path)
    cases = [Case(case.name, (other / case.images[0].name,), other / case.label.name) for case in dataset.cases]
    prepare(replace(dataset, path=other, cases=tuple(cases)), tmp_path)
    assert state(tmp_path) == before


def test_a_new_case_is_added_without_redoing_the_others(dataset, tmp_path):
    prepare(replace(dataset, cases=dataset.cases[:2]), tmp_path)
    before = state(tmp_path)
    prepare(dataset, tmp_path)
    after = state(tmp_path)
    assert {name: after[name] for name in before} == before
    assert {name.partition(".")[0] for name in after.keys() - before.keys()} == {"c"}


def test_too_little_room_is_refused_before_anything_is_written(dataset, tmp_path, monkeypatch):
    # 3 cases × (20 × 12 × 21 voxels × (4 × 0.95 + 2 × 0.1) bytes + 1 MiB)
    usage = type("Usage", (), {"free": 2_000_000})
    monkeypatch.setattr("autoseg.preprocessing.cost.shutil.disk_usage", lambda folder: usage)
    with pytest.raises(WorkspaceError) as error:
        prepare(dataset, tmp_path)
    folder = tmp_path / "prepared"
    assert str(error.value) == (
        f"{folder}: preparing 3 cases takes about 3.2 MB of disk, and 2.0 MB are free there. "
        "Make room, or give a workspace on another disk (-w DIR)."
    )
    assert not folder.exists()


def test_only_what_is_not_done_needs_room(dataset, tmp_path, monkeypatch):
    prepare(replace(dataset, cases=dataset.cases[:2]), tmp_path)
    usage = type("Usage", (), {"free": 1_500_000})
    monkeypatch.setattr("autoseg.preprocessing.cost.shutil.disk_usage", lambda folder: usage)
    assert len(prepare(dataset, tmp_path)) == 3


@pytest.mark.parametrize(
    ("memory_gb", "cores", "processes"), [(100.0, 3, 3), (100.0, 2, 2), (1.1, 3, 2), (0.6, 3, 1), (0.0, 3, 1)]
)
def test_as_many_processes_as_cores_and_memory_allow(memory_gb, cores, processes, dataset, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("autoseg.preprocessing.dataset.available_cores", lambda: cores)
    monkeypatch.setattr("autoseg.preprocessing.dataset.available_memory_bytes", lambda: memory_gb * 1e9)
    monkeypatch.setattr(
        "autoseg.preprocessing.dataset.map_items", lambda function, items, count, *_, **__: asked.append(count)
    )
    prepare(dataset, tmp_path, processes=None)  # each needs about 0.44 GB: a process, a slab and little else
    assert asked == [processes]


def test_several_processes_write_the_same_bytes(dataset, tmp_path):
    prepare(dataset, tmp_path / "one", processes=1)
    prepare(dataset, tmp_path / "two", processes=2)
    for name, (_, content) in state(tmp_path / "one").items():
        assert state(tmp_path / "two")[name][1] == content


def test_a_2d_patch_divides_arrays_into_slices(dataset, tmp_path):
    case = prepare_dataset(dataset, PREPROCESSING, (8, 8), tmp_path / "prepared", processes=1)[0]
    assert case.image().blocks == (1, 1, 8, 8)


def spoil_value(case):
    write_label_map(case.label, np.full(GRID.shape, 7, dtype=np.uint8), GRID)


def spoil_grid(case):
    write_label_map(case.label, np.zeros((10, 12, 13), dtype=np.uint8), plain_grid((10, 12, 13), GRID.spacing_mm))


def spoil_label_file(case):
    case.label.unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            spoil_value,
            "case 'b': the label map holds value 7, which the dataset does not declare "
            "(declared: background 0, kidney 1, tumour 2). Declare the value in dataset.json, or correct the map.",
        ),
        (
            spoil_grid,
            "case 'b': label and image lie on different grids\n"
            "  image  10 × 12 × 14 voxels of 2.00 × 1.00 × 1.50 mm   {folder}/b_0000.nii.gz\n"
            "  label  10 × 12 × 13 voxels of 2.00 × 1.00 × 1.50 mm   {folder}/b.nii.gz\n"
            "Resample the label onto the image (nearest neighbour), or leave the case out.",
        ),
        (
            spoil_label_file,
            "case 'b': {folder}/b.nii.gz: cannot be read (No such file or directory). "
            "Restore the file, or leave the case out.",
        ),
    ],
)
def test_a_bad_case_is_named_and_the_others_are_kept(spoil, message, dataset, tmp_path):
    spoil(dataset.cases[1])
    with pytest.raises(DatasetError) as error:
        prepare(dataset, tmp_path)
    check = f"`autoseg check {dataset.path}` lists every such problem of the dataset."
    assert str(error.value) == message.format(folder=dataset.path) + "\n" + check
    assert "a.json" in state(tmp_path)
    assert "b.json" not in state(tmp_path)


def test_an_image_with_values_that_are_not_numbers(dataset, tmp_path):
    image = dataset.path / "a_0000.nrrd"
    write_image(image, np.full(GRID.shape, np.nan, dtype=np.float32), GRID)
    cases = (replace(dataset.cases[0], images=(image,)), *dataset.cases[1:])
    with pytest.raises(DatasetError) as error:
        prepare(replace(dataset, cases=cases), tmp_path)
    assert str(error.value).startswith(f"case 'a': {image}: 1680 voxels are NaN or infinite")


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")
def test_a_case_that_kills_its_process_is_named_and_the_others_are_kept(dataset, tmp_path, monkeypatch):
    real = autoseg.preprocessing.dataset.read_case

    def deadly(case, description):
        if case.name == "b":
            os.kill(os.getpid(), signal.SIGKILL)
        return real(case, description)

    monkeypatch.setattr("autoseg.preprocessing.dataset.read_case", deadly)
    with pytest.raises(AutosegError, match=r"^preparing cases: b ended its process \(killed by SIGKILL.*it was alone"):
        prepare(dataset, tmp_path, processes=2)
    assert {"a.json", "c.json"} <= state(tmp_path).keys()
    assert "b.json" not in state(tmp_path)


COMMAND = """
import sys
from pathlib import Path
from autoseg.dataset import Dataset
from autoseg.plan.preprocessing import Preprocessing, ZScore
from autoseg.preprocessing import prepare_dataset
preprocessing = Preprocessing(spacing_mm=(2.0, 1.5, 1.5), normalisation=(ZScore(),))
prepare_dataset(Dataset.open(sys.argv[1]), preprocessing, (8, 8, 8), Path(sys.argv[2]), int(sys.argv[3]))
"""


@pytest.mark.slow
def test_killed_at_any_point_and_run_again_gives_the_same_bytes(tmp_path):
    """By one process and by two in turn."""
    source, prepared = tmp_path / "dataset", tmp_path / "prepared"
    generate_kidneys(source, cases=8)
    command = [sys.executable, "-c", COMMAND, str(source)]
    subprocess.run([*command, str(tmp_path / "whole"), "1"], check=True)
    whole = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    for number, files in enumerate(range(1, len(whole), 9)):
        process = subprocess.Popen([*command, str(prepared), str(1 + number % 2)])
        while process.poll() is None and len(list(prepared.glob("*"))) < files:
            time.sleep(0.001)
        process.kill()
        process.wait()
    subprocess.run([*command, str(prepared), "2"], check=True)
    found = {path.name: path.read_bytes() for path in prepared.iterdir() if not path.name.startswith(".")}
    assert found == whole


def test_an_error_comes_out_of_another_process(dataset, tmp_path):
    spoil_value(dataset.cases[1])
    with pytest.raises(DatasetError, match="^case 'b': the label map holds value 7"):
        prepare(dataset, tmp_path, processes=2)


def test_a_case_without_a_label_map(dataset, tmp_path):
    cases = (replace(dataset.cases[0], label=None), *dataset.cases[1:])
    with pytest.raises(DatasetError, match=r"^case 'a': no label map\. Add it, or take the case out of the training"):
        prepare(replace(dataset, cases=cases), tmp_path)


def test_real_cases(real_data, tmp_path):
    dataset = Dataset.open(real_data("hippocampus"))
    dataset = replace(dataset, cases=dataset.cases[:10])
    prepared = prepare(dataset, tmp_path, processes=2)
    for case, source in zip(prepared, dataset.cases, strict=True):
        image = read_image(*source.images)
        assert case.placement.grid == image.grid
        assert case.image().shape == case.record.shape
        np.testing.assert_allclose(case.image()[:].mean(), 0, atol=1e-3)
        assert [len(voxels) for voxels in case.locations().targets] == [
            (case.labels()[:] == value).sum() for value in (1, 2)
        ]
