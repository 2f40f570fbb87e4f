"""The command, killed at any instant as often as one likes, ends in the same weights."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time

import pytest

from autoseg.inference.model import WEIGHTS
from autoseg.plan import write_plan
from autoseg.workflow.fitting import train
from autoseg.workflow.preparation import preprocess
from autoseg.workflow.workspace import Workspace


@pytest.mark.slow
def test_killed_twice_it_ends_in_the_same_weights(dataset, make_stage, make_plan, tmp_path):
    plan = make_plan(make_stage(training={"epochs": 7}))
    space = Workspace(tmp_path / "killed")
    folder = space.fold_folder(plan, "tiny", 0)
    write_plan(space.plan_file(plan.name), plan)
    arguments = ("train", dataset.path, "-w", space.path, "--workers", 1, "--jobs", 1, "--quiet")
    command = [sys.executable, "-m", "autoseg", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # another number of threads adds up in another order

    def start():
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)

    moments = []
    for epochs in (1, 3):
        training = start()
        while len(rows(folder)) < epochs and training.poll() is None:
            time.sleep(0.01)
        moments.append(random.uniform(0, 0.5))
        time.sleep(moments[-1])
        assert training.poll() is None, f"it ended before it was killed: {training.communicate()[1]}"
        training.kill()
        training.communicate()
        assert not (folder / WEIGHTS).exists()
    training = start()
    said = training.communicate(timeout=120)[1]
    assert training.returncode == 0, said

    other = Workspace(tmp_path / "uninterrupted")
    preprocess(dataset, plan, "tiny", other, processes=1)
    expected = train(plan, "tiny", 0, other)
    assert (folder / WEIGHTS).read_bytes() == (expected / WEIGHTS).read_bytes(), f"killed {moments} s after epochs 1, 3"
    assert [row["train_loss"] for row in rows(folder)] == [row["train_loss"] for row in rows(expected)]
    assert not list(folder.rglob("*.tmp*"))  # what was being written when it was killed


def rows(folder):
    log = folder / "log.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
