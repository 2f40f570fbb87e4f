"""How good a model is after 2, 5, 10 and 20 minutes: planned for the time, nnU-Net's plan, a hand-set plan.

    python benchmarks/time_to_dice.py DATASET [--minutes 2 5 10 20] [--stage 3d_fullres] [--device cpu] [-w WORKSPACE]

Trains one fold once a plan and a budget, each from the start with its own schedule, one after the other and with the
commands a user would type, and scores it on the whole validation cases. Nothing else should run on the machine
meanwhile. Interrupted, the same command continues; what is trained is not trained again. Writes a table, the
numbers and a plot to benchmarks/results/time_to_dice.{md,json,png}.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

import autoseg
from autoseg.inference.model import DESCRIPTION
from autoseg.networks import build_network, count_parameters
from autoseg.workflow.trained import SCORES

matplotlib.use("Agg")

HERE = Path(__file__).resolve().parent
HAND_SET = HERE.parent / "plans" / "small_unet_3d.json"
CONTENDERS: dict[str, list[str]] = {  # what each adds to `autoseg run DATASET --minutes M`
    "planned": [],
    "nnunet": ["--preset", "nnunet"],
    "hand_set": ["--like", str(HAND_SET)],
}
TITLES = {
    "planned": "planned for the time (--minutes)",
    "nnunet": "--preset nnunet",
    "hand_set": f"hand-set (plans/{HAND_SET.name})",
}
LOOKS = {"planned": "o-", "nnunet": "s--", "hand_set": "^:"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--minutes", type=float, nargs="+", default=[2, 5, 10, 20])
    parser.add_argument("--contenders", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--stage", default="3d_fullres")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("-w", "--workspace", type=Path, default=Path("autoseg-work/time_to_dice"))
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results")
    parser.add_argument("--note", default="", help="a sentence for the results: what else ran on the machine")
    arguments = parser.parse_args()
    arguments.dataset, arguments.workspace = arguments.dataset.resolve(), arguments.workspace.resolve()
    runs = []
    for minutes in arguments.minutes:
        for contender in arguments.contenders:
            run_command(arguments, contender, minutes)
            runs.append(read_run(arguments, contender, minutes))
            print(describe(runs[-1]), flush=True)
    write_results(arguments, runs)


def run_command(arguments: argparse.Namespace, contender: str, minutes: float) -> None:
    """Plans, trains and scores one contender; does nothing where that is done."""
    command = [sys.executable, "-m", "autoseg", "run", str(arguments.dataset), "-w", str(arguments.workspace)]
    command += ["--name", plan_name(contender, minutes), "--stage", arguments.stage, "--folds", str(arguments.fold)]
    command += ["--minutes", f"{minutes:g}", "--device", arguments.device, "--quiet", *CONTENDERS[contender]]
    subprocess.run(command, check=True, cwd=HERE.parent, stdout=subprocess.DEVNULL)


def read_run(arguments: argparse.Namespace, contender: str, minutes: float) -> dict[str, Any]:
    """What came out of a training, from the files it left."""
    workspace = autoseg.Workspace(arguments.workspace)
    plan = workspace.read_plan(plan_name(contender, minutes))
    stage = plan.stages[arguments.stage]
    folder = workspace.fold_folder(plan, arguments.stage, arguments.fold)
    model = json.loads((folder / DESCRIPTION).read_text())
    scores = json.loads((folder / SCORES).read_text())
    network = build_network(stage.network, len(plan.dataset.channels), plan.dataset.labels.outputs)
    return {
        "contender": contender,
        "minutes": minutes,
        "mean_dice": scores["mean"],
        "dice": scores["per_target"],
        "trained_minutes": model["trained"]["minutes"],
        "iterations": round(model["trained"]["iterations"]),
        "first_features": stage.network.features[0],
        "batch_size": stage.sampling.batch_size,
        "patch_size": list(stage.sampling.patch_size),
        "optimizer": stage.optimizer.model_dump(mode="json"),
        "precision": stage.training.precision,
        "parameters": count_parameters(network),
        "machine": model["machine"],
    }


def plan_name(contender: str, minutes: float) -> str:
    return f"{contender}_{minutes:g}min"


def describe(run: dict[str, Any]) -> str:
    patch = "×".join(map(str, run["patch_size"]))
    return (
        f"{run['minutes']:4g} minutes  {TITLES[run['contender']]:40} Dice {run['mean_dice']:.4f}   "
        f"{run['iterations']} iterations, {run['first_features']} features, batch {run['batch_size']}, patch {patch}"
    )


def write_results(arguments: argparse.Namespace, runs: Sequence[dict[str, Any]]) -> None:
    """The table, the numbers, the plot."""
    arguments.output.mkdir(parents=True, exist_ok=True)
    machine = runs[-1]["machine"]
    data = {"dataset": arguments.dataset.name, "stage": arguments.stage, "fold": arguments.fold, "machine": machine}
    data |= {"note": arguments.note} if arguments.note else {}
    (arguments.output / "time_to_dice.json").write_text(json.dumps({**data, "runs": list(runs)}, indent=1) + "\n")
    (arguments.output / "time_to_dice.md").write_text(table(arguments, machine, runs))
    plot(arguments, runs)


def table(arguments: argparse.Namespace, machine: dict[str, Any], runs: Sequence[dict[str, Any]]) -> str:
    budgets = sorted({run["minutes"] for run in runs})
    found = {(run["contender"], run["minutes"]): run for run in runs}
    lines = [
        f"# Dice by training time: {arguments.dataset.name}, {arguments.stage}, fold {arguments.fold}",
        "",
        "Mean Dice over the labels and the whole validation cases, each training from the start with its own schedule.",
        f"Machine: {machine['hardware']}, {machine['threads']} threads, {machine['device']}, "
        f"Python {machine['python']}, torch {machine['torch']}, {machine['date'][:10]}.",
        *([arguments.note] if arguments.note else []),
        "",
        f"    python benchmarks/time_to_dice.py {arguments.dataset.name}",
        "",
        "| minutes | " + " | ".join(TITLES[name] for name in arguments.contenders) + " |",
        "|---" * (len(arguments.contenders) + 1) + "|",
    ]
    for minutes in budgets:
        cells = [found[name, minutes]["mean_dice"] for name in arguments.contenders]
        best = max(cells)
        shown = [f"**{dice:.4f}**" if dice == best else f"{dice:.4f}" for dice in cells]
        lines.append(f"| {minutes:g} | " + " | ".join(shown) + " |")
    lines += ["", "What was trained:", "", "| minutes | plan | features | batch | patch | iterations | optimiser |"]
    lines.append("|---" * 7 + "|")
    for run in runs:
        patch = "×".join(map(str, run["patch_size"]))
        rate = f"{run['optimizer']['kind']} {run['optimizer']['learning_rate']:g}"
        lines.append(
            f"| {run['minutes']:g} | {run['contender']} | {run['first_features']} | {run['batch_size']} | {patch} "
            f"| {run['iterations']} | {rate} |"
        )
    return "\n".join(lines) + "\n\n![Dice by training time](time_to_dice.png)\n"


def plot(arguments: argparse.Namespace, runs: Sequence[dict[str, Any]]) -> None:
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    for contender in arguments.contenders:
        points = sorted((run["minutes"], run["mean_dice"]) for run in runs if run["contender"] == contender)
        axes.plot(*zip(*points, strict=True), LOOKS[contender], label=TITLES[contender])
    budgets = sorted({run["minutes"] for run in runs})
    axes.set_xscale("log")
    axes.set_xticks(budgets, [f"{minutes:g}" for minutes in budgets])
    axes.minorticks_off()
    axes.set_ylim(max(0.0, math.floor(10 * min(run["mean_dice"] for run in runs)) / 10), 1)
    axes.set_xlabel("minutes of training")
    axes.set_ylabel("mean Dice, whole validation cases")
    axes.set_title(f"{arguments.dataset.name}, {arguments.stage}, fold {arguments.fold}")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(arguments.output / "time_to_dice.png", dpi=120)


if __name__ == "__main__":
    main()
