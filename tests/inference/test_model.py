from __future__ import annotations

import io
import json
import pickle
import re
from importlib.metadata import PackageNotFoundError

import pytest
import torch
from safetensors.torch import save_file

import autoseg
from autoseg.errors import ModelError
from autoseg.inference import model
from autoseg.inference.model import (
    DESCRIPTION,
    WEIGHTS,
    describe_machine,
    is_trained,
    read_model,
    read_weights,
    write_model,
)

TENSORS = {"a": torch.arange(6).reshape(2, 3).float(), "b": torch.tensor(2.5), "c": torch.ones(4, 6).T}


def test_round_trip(tmp_path, make_plan, describe):
    written = describe(make_plan(channels=("T1", "T2")), fold="all")
    write_model(tmp_path / "net" / "fold_all", written, TENSORS)
    assert read_model(tmp_path / "net" / "fold_all") == written
    weights = read_weights(tmp_path / "net" / "fold_all")
    assert weights.keys() == TENSORS.keys()
    assert all(torch.equal(weights[name], TENSORS[name]) for name in TENSORS)
    assert sorted(path.name for path in (tmp_path / "net" / "fold_all").iterdir()) == [DESCRIPTION, WEIGHTS]


def test_a_model_is_there_when_its_weights_are(tmp_path, make_plan, describe, monkeypatch):
    def killed(tensors):
        raise KeyboardInterrupt

    monkeypatch.setattr("safetensors.torch.save", killed)
    with pytest.raises(KeyboardInterrupt):
        write_model(tmp_path, describe(make_plan()), TENSORS)
    assert [path.name for path in tmp_path.iterdir()] == [DESCRIPTION]
    assert not is_trained(tmp_path)
    monkeypatch.undo()
    write_model(tmp_path, describe(make_plan()), TENSORS)
    assert is_trained(tmp_path)


def test_a_new_description_is_never_beside_old_weights(tmp_path, make_plan, describe, monkeypatch):
    """A model that was trained on is written over the one before: killed at any point, it is the new one or none."""
    old, new = describe(make_plan()), describe(make_plan()).model_copy(update={"trained": {"epochs": 2.0}})
    longer = {name: tensor + 1 for name, tensor in TENSORS.items()}

    def killed(*arguments):
        raise KeyboardInterrupt

    for writer in ("write_json", "write_bytes"):
        write_model(tmp_path, old, TENSORS)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(model, writer, killed)
            write_model(tmp_path, new, longer)
        assert not is_trained(tmp_path)
    write_model(tmp_path, new, longer)
    assert read_model(tmp_path) == new
    assert torch.equal(read_weights(tmp_path)["a"], TENSORS["a"] + 1)


def test_folders_without_weights(tmp_path, unfinished):
    with pytest.raises(
        ModelError, match="nowhere: no such folder. Name a workspace, its models/PLAN, or the folder of a"
    ):
        read_model(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=f"{unfinished}: the training has not finished. Run the same training command"):
        read_model(unfinished)
    with pytest.raises(
        ModelError, match=re.escape(f"{tmp_path}: no model here (weights.safetensors is missing). Name the folder of a")
    ):
        read_model(tmp_path)


def test_a_description_that_is_absent_or_no_json(tmp_path, make_model):
    folder = make_model(tmp_path)
    (folder / DESCRIPTION).write_text('{"format": 1, "plan"')
    with pytest.raises(ModelError, match=r"model\.json: not a JSON file \(.*\)\. Mend it or remove it\."):
        read_model(folder)
    (folder / DESCRIPTION).unlink()
    assert not is_trained(folder)
    with pytest.raises(ModelError) as refused:
        read_model(folder)
    assert str(refused.value) == (
        f"{folder}: weights.safetensors is here, but model.json, which says what the weights mean, is not. Copy the "
        "whole folder again; or remove weights.safetensors and run the training command again: it continues from its "
        "checkpoint."
    )


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers(tmp_path, make_model, value):
    folder = make_model(tmp_path / "model")
    weights = read_weights(folder)
    name = sorted(weights)[1]
    weights[name].view(-1)[-1] = value
    save_file(weights, folder / WEIGHTS)
    with pytest.raises(ModelError) as refused:
        read_weights(folder)
    assert str(refused.value) == (
        f"{folder / WEIGHTS}: 1 of {len(weights)} weights hold NaN or infinity ({name}). This model predicts nothing: "
        "restore the file, or remove the folder and train again, in float32 "
        "(--set stages.NAME.training.precision=float32) if it was not."
    )


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("format",), 2, "field 'format': must be 1 (found 2)."),
        (("fold",), None, "field 'fold."),
        (("stage",), "3d", "the plan has no stage '3d'."),
        (("plan", "stages", "net", "sampling", "batch_size"), 0, "field 'plan.stages.net.sampling.batch_size': must "),
        (("plan", "stages", "net", "sampling", "btch_size"), 2, "field 'plan.stages.net.sampling.btch_size': no such"),
        (("code",), "import os", "field 'code': no such field."),
    ],
)
def test_descriptions_that_break_a_rule(tmp_path, make_model, path, value, complaint):
    file = make_model(tmp_path) / DESCRIPTION
    data = json.loads(file.read_text())
    inside = data
    for part in path[:-1]:
        inside = inside[part]
    inside[path[-1]] = value
    file.write_text(json.dumps(data))
    with pytest.raises(ModelError, match=re.escape(f"not a model of format 1: {complaint}")) as raised:
        read_model(tmp_path)
    assert str(raised.value).startswith(f"{file}: ")
    assert "train again, or restore the file." in str(raised.value)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (open, (str(self.file), "w"))


@pytest.mark.parametrize("kind", ["truncated", "empty", "text", "pickle", "torch"])
def test_damaged_weights(tmp_path, make_model, kind):
    path = make_model(tmp_path / "model") / WEIGHTS
    trap = Trap(tmp_path / "sprung")
    torch.save(trap, saved := io.BytesIO())
    path.write_bytes(
        {
            "truncated": path.read_bytes()[:-100],
            "empty": b"",
            "text": b"not weights at all",
            "pickle": pickle.dumps(trap),
            "torch": saved.getvalue(),
        }[kind]
    )
    with pytest.raises(ModelError, match=r"safetensors: the weights cannot be read \(.*\)\. Remove the file and run"):
        read_weights(tmp_path / "model")
    assert not (tmp_path / "sprung").exists()


def test_a_checkout_that_is_not_installed(monkeypatch):
    def absent(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr(model, "version", absent)
    machine = describe_machine(torch.device("cpu"))
    assert (machine["autoseg"], machine["scipy"]) == (autoseg.__version__, "unknown")


def test_what_the_machine_is_said_to_be():
    machine = describe_machine(torch.device("cpu"))
    assert {"date", "device", "hardware", "threads", "system", "python", "autoseg", "torch", "numpy"} <= machine.keys()
    assert machine["device"] == "cpu"
    assert machine["torch"] == torch.__version__
    assert all(machine.values())
