"""Training beside nnU-Net: samples a second, from files to changed weights.

    python benchmarks/training.py HIPPOCAMPUS [--nnunet-python PYTHON] [-w WORKSPACE]

Both sides train nnU-Net's own 3d_fullres plan for HIPPOCAMPUS (Medical Segmentation Decathlon, Task04, as nnU-Net lays
it out): a patch of 40×56×40, 32 features, the same batch; reading, augmentation, forward, backward and the step are
counted, validation is not. Ours is `autoseg train` by the plan of `--preset nnunet`, theirs is
`nnUNetv2_train -device cpu`. Each runs in processes of its own, in turns; of a run the median step counts (theirs) or
an epoch after a first one (ours), of the runs the median. Without a Python that has nnU-Net 2.8.1, it is installed into
an environment in the workspace. Writes benchmarks/results/training.{md,json}.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from beside_nnunet import alternate, nnunet_environment, nnunet_python, run_apart, this_machine

HERE = Path(__file__).resolve().parent
STAGE = "3d_fullres"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--nnunet-python", type=Path, help="a Python that has nnU-Net 2.8.1")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10, help="that are timed, a round and side")
    parser.add_argument("-w", "--workspace", type=Path, default=Path("autoseg-work/training"))
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results")
    parser.add_argument("--note", default="", help="a sentence for the results: what else ran on the machine")
    arguments = parser.parse_args()
    arguments.workspace = arguments.workspace.resolve()
    arguments.workspace.mkdir(parents=True, exist_ok=True)
    theirs = nnunet_python(arguments.nnunet_python, arguments.workspace)
    environment = prepare_nnunet(theirs, arguments)
    batch = prepare_ours(arguments)
    steps = str(max(3, arguments.steps // 3))  # theirs take much longer
    command = [theirs, HERE / "nnunet_training_side.py", steps]
    sides = {"autoseg": partial(train_ours, arguments), "nnU-Net": partial(run_apart, command, environment)}
    found = alternate(sides, arguments.rounds)
    if found["nnU-Net"]["batch"] != batch:
        raise SystemExit(f"batches differ: {batch} and {found['nnU-Net']['batch']:g}")
    write_results(found, batch, arguments)


def prepare_nnunet(python: Path, arguments: argparse.Namespace) -> dict[str, str]:
    """Its plan and its preprocessed data, in the workspace; the environment that finds them."""
    environment = nnunet_environment(arguments.workspace) | {"nnUNet_n_proc_DA": str(os.cpu_count() or 1)}
    raw = arguments.workspace / "nnUNet_raw"
    raw.mkdir(exist_ok=True)
    link = raw / "Dataset004_Hippocampus"
    if not link.exists():
        link.symlink_to(arguments.dataset.resolve())
    if not (arguments.workspace / "prepared").exists():
        command = [python.parent / "nnUNetv2_plan_and_preprocess", "-d", "4", "-c", STAGE]
        subprocess.run(command, env={**os.environ, **environment}, check=True, stdout=subprocess.DEVNULL)
        (arguments.workspace / "prepared").touch()
    return environment


def prepare_ours(arguments: argparse.Namespace) -> int:
    """The plan and the prepared cases; the plan's batch."""
    where = [arguments.dataset, "-w", arguments.workspace / "ours", "--quiet"]
    autoseg("plan", *where, "--preset", "nnunet", "--device", "cpu")
    autoseg("preprocess", *where, "--stage", STAGE)
    plan = json.loads((arguments.workspace / "ours" / "plans" / "default.json").read_text())
    batch: int = plan["stages"][STAGE]["sampling"]["batch_size"]
    return batch


def train_ours(arguments: argparse.Namespace) -> dict[str, Any]:
    """Two epochs, of which the second counts; without what comes at an epoch's end."""
    space = arguments.workspace / "ours"
    shutil.rmtree(space / "models", ignore_errors=True)
    changes = {"epochs": 2, "iterations_per_epoch": arguments.steps, "validation_iterations": 1}
    settings = [
        part for name, value in changes.items() for part in ("--set", f"stages.{STAGE}.training.{name}={value}")
    ]
    # All cases, so that none is validated afterwards: nothing is compared but steps.
    command = [sys.executable, "-m", "autoseg", "train", arguments.dataset, "-w", space, "--stage", STAGE]
    run = run_apart([*command, "--fold", "all", "--device", "cpu", "--quiet", *settings])
    folder = next((space / "models").rglob("log.jsonl"))
    row = json.loads(folder.read_text().splitlines()[-1])
    seconds = (row["seconds"] - row["validation_seconds"]) / arguments.steps
    return {"seconds": seconds, "data_wait": row["data_wait"], "peak_bytes": run["peak_bytes"]}


def autoseg(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "autoseg", *arguments], check=True)


def write_results(found: dict[str, dict[str, Any]], batch: int, arguments: argparse.Namespace) -> None:
    """A table and the numbers behind it."""
    ours, theirs = found["autoseg"], found["nnU-Net"]
    ratio = theirs["seconds"] / ours["seconds"]
    lines = [
        "# Training, autoseg and nnU-Net 2.8.1",
        "",
        f"Machine: {this_machine()}. {arguments.rounds} rounds in turns, medians. {arguments.note}".strip(),
        "",
        "    python benchmarks/training.py HIPPOCAMPUS",
        "",
        "| | seconds a step | samples a second | waiting for data |",
        "|---|---|---|---|",
        f"| autoseg | {ours['seconds']:.2f} | {batch / ours['seconds']:.2f} | {ours['data_wait']:.1%} |",
        f"| nnU-Net | {theirs['seconds']:.2f} | {batch / theirs['seconds']:.2f} | |",
        "",
        f"nnU-Net's 3d_fullres plan for hippocampus, batch {batch}: autoseg is **{ratio:.1f}×** as fast.",
    ]
    print("\n".join(lines[6:]), flush=True)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "training.md").write_text("\n".join(lines) + "\n")
    measured = {"machine": this_machine(), "batch": batch, "ratio": ratio, **found}
    (arguments.output / "training.json").write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
