"""The command, killed at any instant as often as one likes, ends in the same weights."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time

import pytest

from autoseg.plan import write_plan
from autoseg.workflow import Workspace


@pytest.mark.slow
def test_killed_three_times_it_ends_in_the_same_weights(dataset, make_stage, make_plan, tmp_path):
    stage = make_stage(training={"epochs": 14, "iterations_per_epoch": 3, "validation_iterations": 1})
    plan = make_plan(stage)

    def start(work):
        write_plan(Workspace(work).plan_file("default"), plan)
        command = ("train", dataset.path, "-w", work, "--workers", 1, "--jobs", 1, "--quiet")
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # another number of threads adds up in another order
        return subprocess.Popen(
            [sys.executable, "-m", "autoseg", *map(str, command)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(work):
        training = start(work)
        said = training.communicate(timeout=120)[1]
        assert training.returncode == 0, said
        folder = Workspace(work).fold_folder(plan, "tiny", 0)
        return folder, (folder / "weights.safetensors").read_bytes()

    moments = []
    folder = Workspace(tmp_path / "killed").fold_folder(plan, "tiny", 0)
    for epochs in (1, 3, 6):
        training = start(tmp_path / "killed")
        while len(rows(folder)) < epochs and training.poll() is None:
            time.sleep(0.01)
        moments.append(random.uniform(0, 0.5))
        time.sleep(moments[-1])
        assert training.poll() is None, f"it ended before it was killed: {training.stderr.read()}"
        training.kill()
        training.communicate()
        assert not (folder / "weights.safetensors").exists()
    found, weights = finish(tmp_path / "killed")
    expected, expected_weights = finish(tmp_path / "uninterrupted")
    assert weights == expected_weights, f"killed {moments} s after epochs 1, 3 and 6"
    assert [row["epoch"] for row in rows(found)] == list(range(14))
    assert [row["train_loss"] for row in rows(found)] == [row["train_loss"] for row in rows(expected)]
    left_over = [path for path in found.rglob("*.tmp*") if path.is_file()]
    assert len(left_over) <= 3, left_over  # what was being written when it was killed


def rows(folder):
    log = folder / "log.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
