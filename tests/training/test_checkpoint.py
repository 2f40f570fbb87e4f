"""The resume file: complete, refused when damaged, and never executed."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from autoseg.errors import TrainingError
from autoseg.training.checkpoint import PREVIOUS, RESUME, Checkpoint, read_checkpoint, write_checkpoint


def checkpoint(job="job"):
    return Checkpoint(
        format=2,
        job=job,
        iteration=9,
        seconds=1.5,
        reserve_seconds=0.5,
        epoch={"losses": [0.5, 0.25], "waited": 0.1, "seconds": 0.2, "skipped": 1, "rate": 0.01},
        rate_share=0.5,
        setbacks=1,
        average={},
        best={},
        rows=[{"epoch": 0, "dice": {"ball": None, "box": 0.25}, "mean_dice": None}],
        network={"weight": torch.arange(6.0).reshape(2, 3)},
        optimizer={"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.01}]},
        scaler={},
    )


def test_written_and_read_back(folder):
    write_checkpoint(folder, checkpoint())
    found = read_checkpoint(folder, "job")
    assert torch.equal(found.pop("network")["weight"], torch.arange(6.0).reshape(2, 3))
    assert torch.equal(found["optimizer"]["state"][0].pop("momentum_buffer"), torch.ones(3))
    expected = checkpoint()
    del expected["network"], expected["optimizer"]["state"][0]["momentum_buffer"]
    assert found == expected
    assert [file.name for file in folder.iterdir()] == [RESUME]


def test_none_where_there_is_none(folder):
    assert read_checkpoint(folder, "job") is None


def test_a_file_that_cannot_be_written_leaves_the_old_one(folder, monkeypatch):
    write_checkpoint(folder, checkpoint())

    def fail(data, path):
        Path(path).write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(folder, checkpoint() | {"iteration": 12})
    assert read_checkpoint(folder, "job")["iteration"] == 9
    assert [file.name for file in folder.iterdir()] == [RESUME]


@pytest.mark.parametrize("job", ["another", ""])
def test_another_job(folder, job):
    write_checkpoint(folder, checkpoint(job))
    with pytest.raises(TrainingError) as refused:
        read_checkpoint(folder, "job")
    assert str(refused.value) == (
        f"{folder}: holds a training by another plan, on other cases, on files that have changed since, or by another "
        "version of autoseg. Remove the folder to train anew, or derive the new plan under another name "
        "(autoseg plan … --name NAME)."
    )


def test_the_last_two_are_kept(folder):
    for iteration in (1, 2, 3):
        write_checkpoint(folder, checkpoint() | {"iteration": iteration})
    assert sorted(file.name for file in folder.iterdir()) == [PREVIOUS, RESUME]
    assert read_checkpoint(folder, "job")["iteration"] == 3
    (folder / RESUME).unlink()  # killed between the two moves
    assert read_checkpoint(folder, "job")["iteration"] == 2


DAMAGE = {
    "empty": lambda whole: b"",
    "a tenth of it": lambda whole: whole[: len(whole) // 10],
    "shorter than torch seeks": lambda whole: whole[:1100],
    "all but the end": lambda whole: whole[:-10],
    "a byte changed": lambda whole: whole.replace(b"momentum_buffer", b"moment\xffm_buffer"),
    "text": lambda whole: b"not a checkpoint",
    "a list": lambda whole: pickle.dumps([1, 2, 3]),
    "fields missing": lambda whole: pickle.dumps({"format": 1}),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file(folder, damage):
    write_checkpoint(folder, checkpoint())
    path = folder / RESUME
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(TrainingError) as refused:
        read_checkpoint(folder, "job")
    assert str(refused.value) == (
        f"{path}: the checkpoint cannot be read. Remove resume.pt to start this training over."
    )


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_with_a_whole_one_before_it(folder, damage, caplog):
    write_checkpoint(folder, checkpoint() | {"iteration": 1})
    write_checkpoint(folder, checkpoint() | {"iteration": 2})
    path = folder / RESUME
    path.write_bytes(damage(path.read_bytes()))
    assert read_checkpoint(folder, "job")["iteration"] == 1
    assert [record.message for record in caplog.records] == [
        f"warning: {path}: cannot be read; going on from the checkpoint before"
    ]


def test_two_damaged_files(folder):
    for _ in range(2):
        write_checkpoint(folder, checkpoint())
    for name in (RESUME, PREVIOUS):
        (folder / name).write_bytes(b"")
    with pytest.raises(TrainingError, match="nor the one before. Remove resume.pt and resume.previous.pt to start"):
        read_checkpoint(folder, "job")


class Malicious:
    """Unpickled, it would make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    "save", [torch.save, lambda data, path: path.write_bytes(pickle.dumps(data))], ids=["torch", "pickle"]
)
def test_nothing_in_it_is_executed(folder, tmp_path, save):
    folder.mkdir()
    target = tmp_path / "executed"
    save(checkpoint() | {"scaler": Malicious(target)}, folder / RESUME)
    with pytest.raises(TrainingError, match="cannot be read"):
        read_checkpoint(folder, "job")
    assert not target.exists()
    torch.load(folder / RESUME, weights_only=False) if save is torch.save else pickle.loads(
        (folder / RESUME).read_bytes()
    )
    assert target.exists()  # it was indeed malicious


@pytest.mark.parametrize("size", range(0, 20_000, 777))
def test_cut_short_anywhere(folder, size):
    write_checkpoint(folder, checkpoint() | {"network": {"weight": torch.zeros(5000)}})
    path = folder / RESUME
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(TrainingError, match="the checkpoint cannot be read"):
        read_checkpoint(folder, "job")
