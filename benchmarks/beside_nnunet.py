"""What benchmarks beside nnU-Net have in common: its environment, processes of their own, their time and memory.

nnU-Net is never a dependency: it is installed into an environment of the benchmark's own, and its side of a
benchmark is a script that the Python there runs.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autoseg.inference.model import describe_machine
from autoseg.networks.devices import find_device

NNUNET = "nnunetv2==2.8.1"
BYTES_OF_MAXRSS = 1 if sys.platform == "darwin" else 1024
# A process counts as its own the memory that the one which started it had, so that one has to be small.
MEASURE = """
import json, os, subprocess, sys, time
started = time.perf_counter()
process = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(process.pid, 0)
with open(sys.argv[1], "w") as file:
    json.dump((time.perf_counter() - started, usage.ru_maxrss), file)
sys.exit(os.waitstatus_to_exitcode(status))
"""
FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")  # nnU-Net asks the environment for them


def nnunet_python(given: Path | None, workspace: Path) -> Path:
    """The Python of an environment with nnU-Net: the one given, or one that is made in the workspace."""
    if given is not None:
        return given.absolute()  # not resolved: a link into an environment is what makes it that environment
    folder = workspace / "nnunet-environment"
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not (folder / "whole").exists():
        print(f"installing {NNUNET} into {folder}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", NNUNET], check=True)
        (folder / "whole").touch()
    return python


def nnunet_environment(workspace: Path) -> dict[str, str]:
    """The environment for nnU-Net's side: its folders, and as many processes as there are cores."""
    folders = {name: str(workspace / name) for name in FOLDERS}
    return {"nnUNet_def_n_proc": str(os.cpu_count() or 1), **folders}


def run_apart(
    command: Sequence[str | Path], environment: Mapping[str, str] | None = None, exit_code: int = 0
) -> dict[str, Any]:
    """Runs a command in a process of its own; one that ends with another exit code ends the benchmark.

    Args:
        command: what it prints last, on a line of its own, may be JSON: its own measures.
        environment: added to this process's.
        exit_code: that it ends with.

    Returns:
        Those measures, and "process_seconds", "peak_bytes" (resident; of the process, or the largest of those that it
        started) and "log" (what it wrote to standard error).
    """
    with tempfile.NamedTemporaryFile("r") as usage, tempfile.TemporaryFile("w+") as log:
        measured = [sys.executable, "-I", "-S", "-c", MEASURE, usage.name, *(str(part) for part in command)]
        run = subprocess.run(
            measured, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **(environment or {})}
        )
        log.seek(0)
        written = log.read()
        if run.returncode != exit_code:
            raise SystemExit(
                f"{' '.join(measured[6:])}\n{run.stdout}\n{written}\nended with exit code {run.returncode}"
            )
        last = run.stdout.strip().rpartition("\n")[2]
        measures = json.loads(last) if last.startswith("{") else {}
        seconds, peak = json.load(usage)
    return {**measures, "process_seconds": seconds, "peak_bytes": peak * BYTES_OF_MAXRSS, "log": written}


def alternate(sides: Mapping[str, Callable[[], dict[str, Any]]], rounds: int) -> dict[str, dict[str, Any]]:
    """Runs the sides one after the other, some rounds of it.

    Returns:
        For each side the median of every number over the rounds, and "runs", the seconds of each round.
    """
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for number in range(rounds):
        for name, run in sides.items():
            runs[name].append(run())
            print(f"  {name}, round {number + 1}: {runs[name][-1]['seconds']:.2f} s", flush=True)
    return {name: _median(found) for name, found in runs.items()}


def _median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    numbers = [key for key, value in runs[-1].items() if isinstance(value, int | float)]
    medians = {key: statistics.median(run[key] for run in runs) for key in numbers}
    return {**medians, "runs": [round(run["seconds"], 3) for run in runs]}


def this_machine() -> str:
    """What the numbers were measured on."""
    found = describe_machine(find_device("cpu"))
    return (
        f"{found['hardware']}, {found['threads']} threads, Python {found['python']}, torch {found['torch']}, "
        f"{time.strftime('%Y-%m-%d')}"
    )


def gigabytes(count: float) -> str:
    """Bytes, for a table.

    >>> gigabytes(1.234e9)
    '1.23 GB'
    """
    return f"{count / 1e9:.2f} GB"
