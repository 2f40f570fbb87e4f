"""Kills `autoseg run` again and again, and compares what it ends with to what an undisturbed run ends with.

    python benchmarks/kills_of_run.py [--kills 12] [--seed 0] [-o FOLDER]

A tiny generated dataset and a plan of two stages, of which the second uses the first one's out-of-fold predictions as
channels, crop and mask: five folds of both, pairs, selection, postprocessing, all by one command with fixed epochs.
SIGKILL comes at random moments, spread over the command's phases by when what they write appears, and the command is
repeated until it ends by itself; workspaces are begun anew until there were enough kills. Compared are the weights of
every model, the scores of every fold and pair, and the selection, byte by byte. Estimated at 10 to 20 minutes.
Writes benchmarks/results/kills_of_run.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from autoseg.dataset import generate_kidneys
from autoseg.files import content_hash

RESULTS = Path(__file__).resolve().parent / "results"
LABELS = {"background": 0, "kidney": 1, "tumour": 2}
EPOCHS = 3
# What appears in a workspace, in this order: a kill comes within seconds of one of them.
PHASES = {
    "planning": "fingerprint.json",
    "preprocessing": "prepared/*/*.json",
    "training the first stage": "models/*/coarse/fold_[13]/log.jsonl",
    "validating the first stage": "models/*/coarse/fold_2/validation/*.nii.gz",
    "preparing for the second stage": "prepared/*/previous/*/*/*.json",
    "training the second stage": "models/*/fine/fold_[02]/log.jsonl",
    "validating the second stage": "models/*/fine/fold_[34]/validation/*.nii.gz",
    "probabilities of pairs": "models/*/ensembles/probabilities/*/*.b2nd",
    "pairs": "models/*/ensembles/*+*/*.nii.gz",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        generate_kidneys(root / "kidneys", cases=5, shape=(10, 32, 32), spacing_mm=(12.0, 5.0, 5.0))
        (root / "plan.json").write_text(json.dumps(plan()))
        assert start(root, root / "undisturbed").wait() == 0
        expected = outcome(root / "undisturbed")
        kills, different, count = [], [], 0
        while len(kills) < arguments.kills:
            work = root / f"killed_{count}"
            kills += killed(root, work, random.Random(f"{arguments.seed}/{count}"), arguments.kills - len(kills))
            found = outcome(work)
            different += [f"{count}: {name}" for name in expected | found if expected.get(name) != found.get(name)]
            count += 1
    lines = [
        "# A run that is killed",
        "",
        f"    python benchmarks/kills_of_run.py --kills {arguments.kills} --seed {arguments.seed}",
        "",
        f"{len(kills)} times SIGKILL in {count} runs of two stages, five folds each, pairs and selection; compared "
        f"with an undisturbed run: {len(expected)} weights, scores and selections, of which {len(different)} differ"
        f"{': ' + ', '.join(different) if different else ''}.",
        "",
        "| killed while | times |",
        "|---|---|",
        *(f"| {phase} | {kills.count(phase)} |" for phase in PHASES),
    ]
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "kills_of_run.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    sys.exit(bool(different))


def killed(root: Path, work: Path, rng: random.Random, most: int) -> list[str]:
    """Runs to the end, killed once in most phases at most; the phases in which it was."""
    kills = []
    for phase, pattern in PHASES.items():
        if len(kills) == most:
            break
        before = set(work.glob(pattern))
        running = start(root, work)
        while running.poll() is None and not set(work.glob(pattern)) - before:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 1.5))
        if running.poll() is not None:
            break
        running.kill()
        running.wait()
        kills.append(phase)
        print(f"{work.name}: killed while {phase}", file=sys.stderr)
    for _ in range(2):  # the second finds all done
        last = start(root, work)
        assert last.wait() == 0, f"{work}: exit code {last.returncode}"
    return kills


def start(root: Path, work: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "autoseg", "run", root / "kidneys", "-w", work, "--like", root / "plan.json"]
    options = ["--device", "cpu", "--memory", "1", "--workers", "1", "--jobs", "1", "--quiet"]
    # another number of threads adds up in another order
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*map(str, command), *options], env=environment, stdout=subprocess.DEVNULL)


def outcome(work: Path) -> dict[str, str]:
    """Name → hash of what a run ends with."""
    models = work / "models" / "default"
    found = {str(path.relative_to(work)): path for path in sorted(models.rglob("scores.json"))}
    read = {name: content_hash(json.loads(path.read_text())) for name, path in found.items()}
    selection = json.loads((models / "selection.json").read_text())
    del selection["made_from"]  # it tells when the models were trained
    read["selection.json"] = content_hash(selection)
    for path in sorted(models.rglob("weights.safetensors")):
        read[str(path.relative_to(work))] = content_hash(path.read_bytes().hex())
    return read


def plan() -> dict[str, object]:
    previous = {
        "stage": "coarse",
        "crop": {"kind": "box", "size_mm": [120.0, 110.0, 150.0]},
        "mask": {"value": -300.0},
    }
    stages = {"coarse": stage([12, 8, 8], None), "fine": stage([12, 5, 5], previous)}
    dataset = {"name": "Kidneys", "channels": ["CT"], "labels": {"values": LABELS}}
    return {"format": 1, "dataset": dataset, "budget": {}, "stages": stages}


def stage(spacing_mm: list[float], previous: dict[str, object] | None) -> dict[str, object]:
    return {
        "dimensions": 3,
        "previous": previous,
        "preprocessing": {
            "spacing_mm": spacing_mm,
            "normalisation": [{"kind": "ct", "lower": -200, "upper": 300, "mean": 50, "std": 100}],
        },
        "network": {
            "kind": "plain_unet",
            "features": [8, 16],
            "kernels": [[3, 3, 3], [3, 3, 3]],
            "strides": [[1, 1, 1], [1, 2, 2]],
            "encoder_convolutions": [1, 1],
            "decoder_convolutions": [1],
        },
        "sampling": {"patch_size": [8, 16, 16], "batch_size": 2},
        "augmentation": [{"kind": "mirror", "axes": [2]}, {"kind": "previous_binary"}, {"kind": "previous_components"}],
        "loss": [{"kind": "cross_entropy"}, {"kind": "dice"}],
        "optimizer": {"kind": "adamw", "learning_rate": 0.01},
        "training": {
            "epochs": EPOCHS,
            "iterations_per_epoch": 20,
            "validation_iterations": 1,
            "precision": "float32",
        },
    }


if __name__ == "__main__":
    main()
