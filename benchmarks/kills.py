"""Training that loses nothing: killed at ten random points, and shared by two processes.

    python benchmarks/kills.py [-w WORKSPACE]

A short run of `autoseg train` on generated data, whole volumes scored at its end.

1. Once undisturbed, once killed (SIGKILL) ten times and started again each time; in float32, and in bfloat16 where this
   processor computes in it. The moments are drawn once, by a seed, over the whole run: every other one falls anywhere
   within an epoch, every other one into the writing of a checkpoint. Compared are the bytes of weights.safetensors and
   the rows of the log, but for the times in them.
2. Three seeds by one process, by two that torchrun starts (gloo), and by two that are killed, with one that goes on.
   Numbers are added in another order, so weights differ; the Dice over seeds says by how much they may.

Writes benchmarks/results/kills.{md,json}; a part's results when it is done, beside those of the other.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from beside_nnunet import this_machine

from autoseg.dataset import generate_kidneys
from autoseg.inference.model import DESCRIPTION, LOG, RESUME
from autoseg.networks.devices import best_precision, find_device
from autoseg.workflow.trained import SCORES

HERE = Path(__file__).resolve().parent
STAGE, BATCH, ITERATIONS, EPOCHS, LONGER = "3d_fullres", 2, 10, 16, 24
SETTINGS = [
    f"stages.{STAGE}.sampling.batch_size={BATCH}",
    f"stages.{STAGE}.sampling.patch_size=[16, 32, 32]",
    f"stages.{STAGE}.network.features=[8, 16, 16, 16]",
    f"stages.{STAGE}.training.iterations_per_epoch={ITERATIONS}",
    f"stages.{STAGE}.training.validation_iterations=4",
]
KILLS, SEEDS = 10, (0, 1, 2)
TIMES = ("minutes", "seconds", "validation_seconds", "data_wait", "step_bytes_measured")
SHARED = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


class Kill(NamedTuple):
    """When a training is killed.

    Attributes:
        epochs: that are in its log by then.
        later: share of an epoch after that.
        writing: as soon as a checkpoint is being written after that.
    """

    epochs: int
    later: float
    writing: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-w", "--workspace", type=Path, default=Path("autoseg-work/kills"))
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results")
    parser.add_argument("--parts", nargs="+", choices=("killed", "shared"), default=("killed", "shared"))
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--note", default="", help="a sentence for the results: what else ran on the machine")
    arguments = parser.parse_args()
    space = arguments.workspace.resolve()
    prepare(space)
    record = arguments.output / "kills.json"
    before = json.loads(record.read_text()) if record.is_file() else {}
    killed, shared = before.get("killed", {}), before.get("shared", [])
    if "killed" in arguments.parts:
        precisions = list(dict.fromkeys(["float32", best_precision(find_device("cpu"))]))
        killed = {precision: compare_killed(space, precision, arguments.seed) for precision in precisions}
        write_results(killed, shared, arguments)
    if "shared" in arguments.parts:
        shared = compare_shared(space)
        write_results(killed, shared, arguments)
    if not all(found["same_weights"] and found["same_rows"] for found in killed.values()):
        raise SystemExit("a training that was killed ended elsewhere")


def prepare(space: Path) -> None:
    """The dataset, its plan and its prepared cases, once."""
    data, prepared = space / "kidneys", space / "prepared-workspace"
    if not (data / "dataset.json").is_file():
        generate_kidneys(data, cases=10, test_cases=0, shape=(20, 48, 48), spacing_mm=(6.0, 3.3, 3.3))
    where = [str(data), "-w", str(prepared), "--quiet"]
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    finish(start(["plan", *where, "--device", "cpu", "--memory", "1", *settings]))
    finish(start(["preprocess", *where, "--stage", STAGE]))


def fresh(space: Path, name: str) -> Path:
    """A workspace with everything but models."""
    shutil.rmtree(space / name, ignore_errors=True)
    shutil.copytree(space / "prepared-workspace", space / name)
    return space / name


def training(space: Path, workspace: Path, *settings: str) -> list[str]:
    """The command that trains fold 0 there; the second time it goes on."""
    changes = [part for setting in settings for part in ("--set", f"stages.{STAGE}.training.{setting}")]
    where = [str(space / "kidneys"), "-w", str(workspace), "--stage", STAGE]
    return ["train", *where, "--fold", "0", "--workers", "1", "--jobs", "1", "--device", "cpu", "--quiet", *changes]


def start(command: list[str], launcher: list[str] | None = None) -> subprocess.Popen[str]:
    """`autoseg COMMAND`, on one thread: another number of them adds up in another order."""
    return subprocess.Popen(
        [*(launcher or [sys.executable]), "-m", "autoseg", *command],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=HERE.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> None:
    said = process.communicate()[1]
    if process.returncode:
        raise SystemExit(f"{process.args}\nended with exit code {process.returncode}:\n{said}")


def compare_killed(space: Path, precision: str, seed: int) -> dict[str, Any]:
    """One run undisturbed, one killed ten times."""
    settings = (f"precision={precision}", f"epochs={EPOCHS}")
    once, again = (fresh(space, f"{name}-{precision}") for name in ("once", "killed"))
    finish(start(training(space, once, *settings)))
    expected, found = fold_folder(once), fold_folder(again)
    seconds = statistics.median(row["seconds"] for row in rows(expected))
    command, hits = training(space, again, *settings), []
    for kill in moments(seed):
        hits.append(kill_once(start(command), found, kill, seconds))
        print(f"  {precision}: killed with {hits[-1]}", flush=True)
    finish(start(command))
    weights = [(folder / "weights.safetensors").read_bytes() for folder in (expected, found)]
    return {
        "same_weights": weights[0] == weights[1],
        "bytes": len(weights[0]),
        "same_rows": timeless(expected) == timeless(found),
        "rows": len(rows(found)),
        "seconds_an_epoch": seconds,
        "kills": hits,
    }


def moments(seed: int) -> list[Kill]:
    """Ten, in order; the first within the first epoch, none after the last but one."""
    generator = random.Random(seed)
    epochs = [0, *sorted(generator.sample(range(1, EPOCHS - 1), KILLS - 1))]
    return [Kill(epoch, generator.random(), writing=place % 2 == 1) for place, epoch in enumerate(epochs)]


def kill_once(process: subprocess.Popen[str], folder: Path, kill: Kill, seconds: float) -> str:
    """Kills a training at its moment; says what it left behind."""
    wait_until(lambda: len(rows(folder)) >= kill.epochs and folder.is_dir(), process)
    if kill.writing:
        wait_until(lambda: bool(unfinished(folder)), process, pause=0)
    else:
        time.sleep(kill.later * seconds)
    if process.poll() is not None:
        raise SystemExit(f"it ended before it was killed: {process.communicate()[1]}")
    process.kill()
    process.communicate()
    cut = ", ".join(f"{name} cut at {size} bytes" for name, size in unfinished(folder).items())
    return f"{len(rows(folder))} epochs in the log" + (f", {cut}" if cut else "")


def unfinished(folder: Path) -> dict[str, int]:
    """The checkpoints that are being written, or were, and their sizes."""
    found = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(f".{RESUME}.") and ".tmp" in entry.name:
                try:
                    found[RESUME] = entry.stat().st_size
                except FileNotFoundError:  # moved into its place just now
                    continue
    return found


def wait_until(happened: Callable[[], bool], process: subprocess.Popen[str], pause: float = 0.01) -> None:
    while not happened():
        if process.poll() is not None:
            raise SystemExit(f"it ended before it was killed: {process.communicate()[1]}")
        time.sleep(pause)


def compare_shared(space: Path) -> list[dict[str, Any]]:
    """Each seed by one process, by two, and by two killed in the middle with one that goes on."""
    found = []
    for seed in SEEDS:
        for name in ("one", "two", "two, killed, then one"):
            workspace = fresh(space, f"{name.replace(', ', '-')}-{seed}")
            command = training(space, workspace, f"seed={seed}", f"epochs={LONGER}")
            folder = fold_folder(workspace)
            if "killed" in name:
                process = start(command, SHARED)
                wait_until(lambda folder=folder: len(rows(folder)) >= LONGER // 2, process)  # type: ignore[misc]
                for number in reversed(descendants(process.pid)):
                    os.kill(number, signal.SIGKILL)
                process.communicate()
            finish(start(command, SHARED if name == "two" else None))
            found.append({"processes": name, "seed": seed, **measured(folder)})
            print(f"  {found[-1]}", flush=True)
            shutil.rmtree(workspace / "prepared")
    return found


def descendants(process: int) -> list[int]:
    """A process and all that it started, on Linux."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *(number for child in children for number in descendants(int(child)))]


def measured(folder: Path) -> dict[str, Any]:
    """What a training saw, and what its model is worth."""
    iterations = json.loads((folder / DESCRIPTION).read_text())["trained"]["iterations"]
    scores = json.loads((folder / SCORES).read_text())
    last = rows(folder)[-1]
    return {"samples": int(iterations) * BATCH, "dice": scores["mean"], "patch_dice": last["mean_dice"]}


def fold_folder(workspace: Path) -> Path:
    return workspace / "models" / "default" / STAGE / "fold_0"


def rows(folder: Path) -> list[dict[str, Any]]:
    log = folder / LOG
    return [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []


def timeless(folder: Path) -> list[dict[str, Any]]:
    """The rows of the log without what the clock and the machine's memory say."""
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows(folder)]


def write_results(
    killed: dict[str, dict[str, Any]], shared: list[dict[str, Any]], arguments: argparse.Namespace
) -> None:
    """Two tables and the numbers behind them."""
    lines = [
        "# Training, killed and shared",
        "",
        f"Machine: {this_machine()}. {arguments.note}".strip(),
        "",
        "    python benchmarks/kills.py",
        "",
        f"Killed (SIGKILL) at {KILLS} points drawn by seed {arguments.seed}, started again each time, beside an",
        f"undisturbed run: {EPOCHS} epochs of {ITERATIONS} iterations on generated data.",
        "",
        "| precision | kills | while a checkpoint was written | weights.safetensors | rows of the log |",
        "|---|---|---|---|---|",
    ]
    for precision, found in killed.items():
        cut = sum("cut" in hit for hit in found["kills"])
        weights, log = ("the same" if found[name] else "**DIFFERENT**" for name in ("same_weights", "same_rows"))
        lines.append(
            f"| {precision} | {len(found['kills'])} | {cut} | {weights}, {found['bytes']} bytes | "
            f"{log}, {found['rows']} epochs |"
        )
    if shared:
        lines += shared_table(shared)
    text = "\n".join(lines) + "\n"
    print(text, flush=True)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "kills.md").write_text(text)
    found = {"machine": this_machine(), "seed": arguments.seed, "killed": killed, "shared": shared}
    (arguments.output / "kills.json").write_text(json.dumps(found, indent=1) + "\n")


def shared_table(shared: list[dict[str, Any]]) -> list[str]:
    lines = [
        "",
        f"Shared by two processes (gloo, one thread each): {LONGER} epochs, {len(SEEDS)} seeds; Dice of the validation",
        "cases, whole volumes.",
        "",
        "| processes | samples seen | Dice, seed by seed | mean | standard deviation |",
        "|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["processes"] for row in shared):
        of = [row for row in shared if row["processes"] == name]
        dice = [row["dice"] for row in of]
        samples = ", ".join(str(number) for number in dict.fromkeys(row["samples"] for row in of))
        each = ", ".join(f"{value:.3f}" for value in dice)
        mean, deviation = statistics.mean(dice), statistics.stdev(dice)
        lines.append(f"| {name} | {samples} | {each} | {mean:.3f} | {deviation:.3f} |")
    return lines


if __name__ == "__main__":
    main()
