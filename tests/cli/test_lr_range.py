from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch

import autoseg.training.lr_range  # noqa: F401


def test_a_range_test(autoseg, finished, own_work, contents):
    before = contents(own_work / "models")
    command = ("lr-range", finished.data, "-w", own_work, "--stage", "3d_fullres", "--workers", 0, "--jobs", 1)
    ran = autoseg(*command, "--from", 1e-4, "--to", 10, "--iterations", 12, "--set", "stages.*.optimizer.kind=sgd")
    assert ran.code == 0, ran.err
    folder = own_work / "lr_range" / "default" / "3d_fullres"
    assert f"Range test: {folder / 'lr_range.json'}, {folder / 'lr_range.png'}" in ran.err
    found = json.loads((folder / "lr_range.json").read_text())
    assert (found["format"], found["fold"], found["device"], found["optimizer"]["kind"]) == (1, 0, "cpu", "sgd")
    assert found["rates"] == pytest.approx([1e-4 * 1e5 ** (step / 11) for step in range(len(found["rates"]))])
    if found["suggestion"] is None:
        assert ran.out.startswith(("The loss did not fall between 0.0001 and 10.", "No rate was found: at 10 the"))
    else:
        assert ran.out.strip() == f"Suggested: --set stages.3d_fullres.optimizer.learning_rate={found['suggestion']:g}"
    assert (folder / "lr_range.png").stat().st_size > 0
    assert contents(own_work / "models") == before


def test_a_loss_that_only_falls(autoseg, finished, own_work, monkeypatch):
    module = sys.modules["autoseg.training.lr_range"]
    monkeypatch.setattr(module, "find_loss", lambda *arguments: torch.tensor(next(falling)))
    monkeypatch.setattr(module, "lower_loss", lambda *arguments: None)
    falling = iter(np.linspace(3, 1, 10))
    command = ("lr-range", finished.data, "-w", own_work, "--stage", "3d_fullres", "--workers", 0, "--jobs", 1)
    ran = autoseg(*command, "--to", 0.01, "--iterations", 10)
    assert (ran.code, " ".join(ran.out.split())) == (
        0,
        "No rate was found: at 0.01 the loss still falls. Test higher rates (--to 0.1), or take more steps on the way "
        "(--iterations 20).",
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--from", 1, "--to", 0.1), "--to 0.1 must be above --from 1"),
        (("--from", 0), "0 is not a number above 0"),
        (("--iterations", 3), "Invalid value for '--iterations'"),
        (("--stage", "5d"), "plan 'default' has no stage '5d'"),
        (("--fold", 7), "no fold 7"),
    ],
)
def test_mistakes(autoseg, finished, own_work, arguments, complaint):
    ran = autoseg("lr-range", finished.data, "-w", own_work, *arguments)
    assert (ran.code, complaint in ran.err) == (2, True), ran.err
    assert not (own_work / "lr_range").exists()
