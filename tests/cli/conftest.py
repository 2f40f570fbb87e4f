"""Commands run in this process as a shell would run them, and a tiny dataset taken down the whole path once."""

from __future__ import annotations

import io
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import pytest
import torch

from autoseg.cli.main import main
from autoseg.dataset import generate_kidneys

TINY = [
    "stages.*.training.epochs=1",
    "stages.*.training.iterations_per_epoch=2",
    "stages.*.training.validation_iterations=1",
    "stages.*.sampling.batch_size=1",
    "stages.*.network.features=[4, 8, 8, 8]",
]
PLANNED = ("--device", "cpu", "--memory", 1, *(part for setting in TINY for part in ("--set", setting)))
FAST = ("--workers", 0, "--jobs", 1)


class Ran(NamedTuple):
    """How a command ended and what it wrote, the boxes of its usage errors taken off."""

    code: int
    out: str
    err: str


class Finished(NamedTuple):
    """A dataset, its workspace with one trained model, and what the commands said."""

    data: Path
    work: Path
    model: Path
    said: dict[str, Ran]


Run = Callable[..., Ran]


def run(*arguments: object) -> Ran:
    """`autoseg ARGUMENTS`. An exception that would be a traceback in a shell is raised here."""
    out, err = io.StringIO(), io.StringIO()
    loggers = [logging.getLogger(), logging.getLogger("autoseg")]
    before = [(logger.level, logger.handlers[:]) for logger in loggers]
    argv = ["autoseg", *map(str, arguments)]
    plain = {"COLUMNS": "120", "FORCE_COLOR": "", "TTY_COMPATIBLE": ""}
    try:
        with (
            mock.patch.object(sys, "argv", argv),
            mock.patch.dict(os.environ, plain),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            main()
    except SystemExit as ended:
        code = ended.code
    finally:
        for logger, (level, handlers) in zip(loggers, before, strict=True):
            logger.setLevel(level)
            logger.handlers[:] = handlers
    assert code is None or isinstance(code, int)
    said = [re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()) for stream in (out, err)]
    return Ran(code or 0, said[0], " ".join(said[1].replace("│", " ").split()))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def autoseg() -> Run:
    return run


@pytest.fixture(scope="session")
def kidneys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five training cases of about 10 × 32 × 32 voxels, and two new ones. Not to be changed: `own_kidneys` is."""
    folder = tmp_path_factory.mktemp("cli") / "kidneys"
    generate_kidneys(folder, cases=5, test_cases=2, shape=(10, 32, 32), spacing_mm=(12.0, 5.0, 5.0))
    return folder


@pytest.fixture
def own_kidneys(kidneys: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return shutil.copytree(kidneys, tmp_path / "own" / "kidneys")


@pytest.fixture(scope="session")
def finished(kidneys: Path) -> Finished:
    """check, fingerprint, plan, preprocess, train: fold 0 of 3d_fullres. Not to be changed."""
    torch.set_num_threads(1)
    work = kidneys.parent / "work"
    said = {
        "check": run("check", kidneys, "--jobs", 1),
        "fingerprint": run("fingerprint", kidneys, "-w", work, "--jobs", 1),
        "plan": run("plan", kidneys, "-w", work, *PLANNED, "--explain", "-o", kidneys.parent / "plan.json"),
        "preprocess": run("preprocess", kidneys, "-w", work, "--stage", "3d_fullres", "--jobs", 1),
        "train": run("train", kidneys, "-w", work, "--stage", "3d_fullres", *FAST),
    }
    assert {name: ran.code for name, ran in said.items()} == dict.fromkeys(said, 0), said
    return Finished(kidneys, work, work / "models" / "default" / "3d_fullres", said)


@pytest.fixture
def own_work(finished: Finished, tmp_path: Path) -> Path:
    """A copy of the workspace to change; copied with its times of change."""
    return shutil.copytree(finished.work, tmp_path / "own_work")


@pytest.fixture(scope="session")
def contents() -> Callable[[Path], dict[str, int]]:
    """Everything below a folder, with the time of its last change."""

    def listed(folder: Path) -> dict[str, int]:
        return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}

    return listed
