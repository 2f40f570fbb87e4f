"""A disk that is full: the training ends with one message, and goes on from its last checkpoint when there is room."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
import torch

from autoseg.inference.model import WEIGHTS
from autoseg.plan import write_plan
from autoseg.workflow.fitting import train
from autoseg.workflow.preparation import preprocess
from autoseg.workflow.workspace import Workspace

resource = pytest.importorskip("resource", reason="no limits of this kind on this system")

MEGABYTE = 2**20


class SmallDisk:
    """A file system of 4 MB, in memory, that something else fills."""

    def __init__(self, models):
        models.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={4 * MEGABYTE}", "tmpfs", str(models)]
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
        if mounted.returncode:
            pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
        self.models, self.ballast = models, models / "ballast"

    def fill(self, process):
        del process
        with self.ballast.open("wb", buffering=0) as file:
            size = MEGABYTE
            while size:
                try:
                    file.write(bytes(size))
                except OSError:
                    size //= 2

    def free(self):
        self.ballast.unlink()

    def remove(self):
        subprocess.run(["umount", str(self.models)], check=True)


class SmallFiles:
    """A limit to the size of the files that the process writes, which needs no privileges."""

    def __init__(self, models):
        if not hasattr(resource, "prlimit"):
            pytest.skip("this system limits no process but one's own")

    def fill(self, process):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (100, 100))

    def free(self):
        pass

    def remove(self):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("kind", [SmallDisk, SmallFiles])
def test_a_full_disk(dataset, make_stage, make_plan, tmp_path, kind):
    plan = make_plan(make_stage(training={"epochs": 12, "iterations_per_epoch": 6}))
    space, other = Workspace(tmp_path / "full"), Workspace(tmp_path / "undisturbed")
    for one in (space, other):
        preprocess(dataset, plan, "tiny", one, processes=1)
    write_plan(space.plan_file(plan.name), plan)
    folder = space.fold_folder(plan, "tiny", 0)
    disk = kind(space.path / "models")
    try:
        training = start(dataset, space)
        while len(rows(folder)) < 2 and training.poll() is None:
            time.sleep(0.005)
        disk.fill(training)
        said = training.communicate(timeout=200)[1]
        assert training.returncode == 2, said
        assert said.count("autoseg:") == 1 and "Traceback" not in said
        message = " ".join(said.split())
        assert "is kept" in message and "run the same command again" in message
        saved = torch.load(folder / "resume.pt", weights_only=True)
        assert saved["iteration"] == 6 * len(saved["rows"]) >= 12
        assert not list(folder.rglob("*.tmp*"))

        disk.free()
        training = start(dataset, space)
        said = training.communicate(timeout=200)[1]
        assert training.returncode == 0, said
        expected = train(plan, "tiny", 0, other)
        assert (folder / WEIGHTS).read_bytes() == (expected / WEIGHTS).read_bytes()
        assert [row["train_loss"] for row in rows(folder)] == [row["train_loss"] for row in rows(expected)]
    finally:
        training.kill()
        training.communicate()
        disk.remove()


def start(dataset, space):
    arguments = ("train", dataset.path, "-w", space.path, "--workers", 0, "--jobs", 1, "--quiet")
    return subprocess.Popen(
        [sys.executable, "-m", "autoseg", *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "400"},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def rows(folder):
    log = folder / "log.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
