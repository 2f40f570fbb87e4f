"""Several processes train the model that one would."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from autoseg.dataset import Labels
from autoseg.errors import TrainingError
from autoseg.plan import Stage, write_plan
from autoseg.plan.loss import (
    Boundary,
    CrossEntropy,
    Focal,
    SoftDice,
    SoftJaccard,
    SurfaceDice,
    TopKCrossEntropy,
    Tversky,
)
from autoseg.training import Job, processes
from autoseg.training.augmentation import Batch
from autoseg.training.interruption import Interruption
from autoseg.training.losses import build_loss
from autoseg.training.run import begin
from autoseg.training.session import Session
from autoseg.training.step import make_learner, share_among_processes, take_step
from autoseg.workflow.workspace import Workspace

LABELS = Labels(values={"background": 0, "ball": 1, "box": 2}, ignore=9)
TERMS = [
    CrossEntropy(weights={"ball": 2.0}),
    SoftDice(),
    SoftDice(over_batch=True),
    SoftDice(over_batch=True, ratio="generalised"),
    SoftJaccard(),
    Tversky(over_batch=True),
    Focal(),
    SurfaceDice(),
    Boundary(),
    TopKCrossEntropy(share=1.0),
]
THREE_LEVELS = {  # the head of the lowest is idle, as in every network but the smallest
    "features": [4, 8, 8],
    "kernels": [[3, 3, 3]] * 3,
    "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
    "encoder_convolutions": [1, 1, 1],
    "decoder_convolutions": [1, 1],
}
LOSS = [{"kind": "cross_entropy"}, {"kind": "dice", "over_batch": True}]


def batch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((3, 3, 6, 7, 8), generator=generator)
    return logits, torch.randint(-1, 3, (3, 6, 7, 8), generator=generator)


def share_of(rank, store, folder):
    """What one of two processes finds: the loss, and the gradient of its part of the logits."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    logits, classes = (part[rank::2] for part in batch())
    found = []
    for term in TERMS:
        mine = logits.clone().requires_grad_()
        loss = build_loss([term], LABELS)(mine, classes)
        loss.backward()
        found.append((loss.item(), mine.grad))
    agreed = processes.largest(float(rank), -float(rank))
    weights = [
        weights_after_steps(Stage.model_validate_json(file.read_text()), rank)
        for file in sorted(folder.glob("stage_*.json"))
    ]
    torch.save({"found": found, "agreed": agreed, "rank": processes.rank(), "weights": weights}, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def weights_after_steps(stage, rank=0):
    """Of a training on three samples, of which two processes have every other one."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn((3, 1, *stage.sampling.patch_size), generator=generator)
    classes = torch.randint(-1, 3, (3, *stage.sampling.patch_size), generator=generator, dtype=torch.int16)
    learner = make_learner(stage, 1, LABELS, torch.device("cpu"))
    share_among_processes(learner)
    mine = slice(rank, None, processes.count())
    for _ in range(3):
        assert math.isfinite(take_step(learner, Batch(images[mine], classes[mine]), 0.1))
    return learner.network.state_dict()


@pytest.fixture(scope="module")
def stages(make_stage):
    """With and without deep supervision."""
    exact = {"loss": LOSS, "sampling": {"batch_size": 3}, "training": {"precision": "float32"}}
    return [make_stage(network=THREE_LEVELS | {"deep_supervision": deep}, **exact) for deep in (True, False)]


@pytest.fixture(scope="module")
def saved(stages, tmp_path_factory):
    """What two processes found."""
    folder = tmp_path_factory.mktemp("processes")
    for number, stage in enumerate(stages):
        (folder / f"stage_{number}.json").write_text(stage.model_dump_json())
    started = [subprocess.Popen([sys.executable, __file__, str(rank), str(folder)]) for rank in (0, 1)]
    assert [process.wait(timeout=240) for process in started] == [0, 0]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


def test_losses_are_over_the_whole_batch(saved):
    """Of three samples, of which one process has two. Gradients are averaged over the processes afterwards."""
    logits, classes = batch()
    assert [one["agreed"] for one in saved] == [(1.0, 0.0)] * 2
    assert [one["rank"] for one in saved] == [0, 1]
    for place, term in enumerate(TERMS):
        whole = logits.clone().requires_grad_()
        loss = build_loss([term], LABELS)(whole, classes)
        loss.backward()
        for rank in (0, 1):
            found, gradient = saved[rank]["found"][place]
            assert found == pytest.approx(loss.item(), rel=1e-5), term
            torch.testing.assert_close(gradient / 2, whole.grad[rank::2], rtol=1e-4, atol=1e-7)


def test_steps_are_those_of_one_process(saved, stages):
    """Weights that no loss depends on stay as they were drawn, and nobody waits for their gradients."""
    for place, stage in enumerate(stages):
        expected = weights_after_steps(stage)
        drawn = make_learner(stage, 1, LABELS, torch.device("cpu")).network.state_dict()
        assert not torch.equal(expected["heads.1.weight"], drawn["heads.1.weight"])
        for rank in (0, 1):
            found = saved[rank]["weights"][place]
            assert torch.equal(found["heads.0.weight"], drawn["heads.0.weight"])
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_alone_nothing_changes():
    values = torch.tensor([1.0, 3.0], requires_grad=True)
    assert processes.total(values) is values
    assert processes.mean(values).item() == 2
    assert (processes.count(), processes.rank(), processes.largest(1.5, 2.0)) == (1, 0, (1.5, 2.0))


def test_more_processes_than_samples(make_stage, cpu, monkeypatch):
    learner = make_learner(make_stage(), 1, Labels(values={"background": 0, "ball": 1}), cpu)
    monkeypatch.setattr(processes, "count", lambda: 3)
    with pytest.raises(TrainingError) as refused:
        share_among_processes(learner)
    assert str(refused.value) == (
        "3 processes cannot share a batch of 2: each needs a patch at least. Start fewer, or set a larger batch "
        "(--set stages.NAME.sampling.batch_size=3)."
    )


def test_the_memory_of_a_batch_is_predicted_for_one_process_alone(
    make_stage, make_plan, prepared, cpu, folder, monkeypatch
):
    """Each of several has a share of it, and another copy of the gradients."""
    job = Job(make_plan(make_stage()), "tiny", 0, prepared[:3], prepared[3:], folder, cpu, 0)
    run, step = begin(job), lambda done, note: None
    assert Session(job, run, Interruption(), step).predicted > 0
    monkeypatch.setattr(processes, "count", lambda: 2)
    monkeypatch.setattr(processes, "rank", lambda: 0)
    assert Session(job, run, Interruption(), step).predicted is None


def test_processes_part_only_when_all_went_well(cpu, monkeypatch):
    told = []
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda backend, timeout: told.append(backend))
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: told.append("parted"))
    with processes.joined(cpu):
        pass
    assert told == ["gloo", "parted"]
    with pytest.raises(TrainingError), processes.joined(cpu):
        raise TrainingError("memory ran out here, and the others wait for a gradient")
    assert told == ["gloo", "parted", "gloo"]


def rows(folder):
    log = folder / "log.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []


@pytest.mark.slow
def test_two_processes_train_as_one_does_killed_and_continued_by_one(dataset, make_stage, make_plan, tmp_path):
    """With batch Dice and deep supervision; numbers are added in another order, so they differ by rounding."""
    plan = make_plan(make_stage(loss=LOSS, sampling={"batch_size": 3}, training={"epochs": 6}))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    spaces = {name: Workspace(tmp_path / name) for name in ("one", "two", "killed")}
    commands = {}
    for name, space in spaces.items():
        write_plan(space.plan_file(plan.name), plan)
        arguments = ["autoseg", "train", dataset.path, "-w", space.path, "--workers", 1, "--jobs", 1, "--quiet"]
        commands[name] = list(map(str, arguments))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    start = partial(subprocess.Popen, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)

    def finish(process):
        said = process.communicate(timeout=180)[1]
        assert process.returncode == 0, said

    finish(start([sys.executable, "-m", *commands["one"]]))
    finish(start([*torchrun, *commands["two"]]))
    folders = {name: space.fold_folder(plan, "tiny", 0) for name, space in spaces.items()}
    running = start([*torchrun, *commands["killed"]])
    while len(rows(folders["killed"])) < 2 and running.poll() is None:
        time.sleep(0.01)
    running.kill()
    running.communicate()
    time.sleep(2)  # for the processes it started, which notice that it is gone
    finish(start([sys.executable, "-m", *commands["killed"]]))
    expected = rows(folders["one"])
    for name in ("two", "killed"):
        found = rows(folders[name])
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=0.02)
            assert ours["mean_dice"] == pytest.approx(theirs["mean_dice"], abs=0.05)
        assert (folders[name] / "weights.safetensors").is_file()
        assert not any(key.startswith("step_bytes") for row in found for key in row)


if __name__ == "__main__":  # what the processes of the first test are started with
    share_of(int(sys.argv[1]), Path(sys.argv[2]) / "store", Path(sys.argv[2]))
