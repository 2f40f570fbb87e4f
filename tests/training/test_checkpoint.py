"""The resume file: complete, refused when damaged, and never executed."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from autoseg.errors import TrainingError
from autoseg.training.checkpoint import RESUME, Checkpoint, read_checkpoint, write_checkpoint


def checkpoint(job="job"):
    return Checkpoint(
        format=1,
        job=job,
        iteration=9,
        seconds=1.5,
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
        f"{folder}: holds a training by another plan, on other cases, or on files that have changed since. "
        "Remove the folder to train anew, or derive the new plan under another name (autoseg plan … --name NAME)."
    )


DAMAGE = {
    "empty": lambda whole: b"",
    "a tenth of it": lambda whole: whole[: len(whole) // 10],
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
    message = str(refused.value)
    assert message.startswith(f"{path}: the checkpoint cannot be read (")
    assert message.endswith("). Remove it to start this training over.")
    assert "weights_only" not in message  # torch's advice to unpickle it all the same
    assert len(message.splitlines()) == 1


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
