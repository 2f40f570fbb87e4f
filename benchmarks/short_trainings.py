"""What a training of few iterations gains from: the optimiser, its rate, mirroring.

    python benchmarks/short_trainings.py DATASET [--iterations 300] [--threads 1] [-w WORKSPACE]

Trains the same 3-D network once a variant on fold 0 and prints the Dice over the validation patches
after every 50 iterations. The measurements behind planner/optimizer.py and planner/mirroring.py.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import torch

import autoseg
from autoseg.inference.model import LOG
from autoseg.networks.devices import find_device
from autoseg.plan import Plan
from autoseg.preprocessing import open_prepared
from autoseg.training import Job, fit

STAGE = "3d_fullres"
EPOCH = 50  # iterations between two looks
SGD = {"kind": "sgd", "learning_rate": 0.01, "momentum": 0.99}
VARIANTS = {
    "SGD 0.01, momentum 0.99, mirroring": (SGD, True),
    "AdamW 0.002, mirroring": ({"kind": "adamw", "learning_rate": 0.002}, True),
    "AdamW 0.004, mirroring": ({"kind": "adamw", "learning_rate": 0.004}, True),
    "AdamW 0.004, no mirroring": ({"kind": "adamw", "learning_rate": 0.004}, False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-w", "--workspace", type=Path, default=None)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as temporary:
        workspace = autoseg.Workspace(arguments.workspace or temporary)
        dataset = autoseg.Dataset.open(arguments.dataset)
        plan = autoseg.make_plan(autoseg.extract_fingerprint(dataset), autoseg.Budget(minutes=10))
        autoseg.preprocess(dataset, plan, STAGE, workspace)
        for name, (optimizer, mirror) in VARIANTS.items():
            job = make_job(vary(plan, optimizer, mirror, arguments.iterations), workspace, Path(temporary) / name)
            fit(job)
            for row in map(json.loads, (job.folder / LOG).read_text().splitlines()):
                dice = " ".join(f"{target} {value:.3f}" for target, value in row["dice"].items())
                print(f"{name:36} {(row['epoch'] + 1) * EPOCH:5} iterations  {dice}", flush=True)


def vary(plan: Plan, optimizer: dict[str, object], mirror: bool, iterations: int) -> Plan:
    """The plan with 16 features, batches of 4, so many iterations, and one thing changed."""
    kept = [t.model_dump(mode="json") for t in plan.stages[STAGE].augmentation if t.kind != "mirror"]
    transforms = [*kept, {"kind": "mirror", "axes": [0, 1, 2]}] if mirror else kept
    stages = len(plan.stages[STAGE].network.features)
    values = {
        "optimizer": optimizer,
        "augmentation": transforms,
        "network.features": [16 * 2**stage for stage in range(stages)],
        "sampling.batch_size": 4,
        "training": {
            "epochs": iterations // EPOCH,
            "iterations_per_epoch": EPOCH,
            "validation_iterations": 10,
            "precision": plan.stages[STAGE].training.precision,
        },
    }
    return autoseg.with_settings(plan, [f"stages.{STAGE}.{path}={json.dumps(value)}" for path, value in values.items()])


def make_job(plan: Plan, workspace: autoseg.Workspace, folder: Path) -> Job:
    training, validation = (
        open_prepared(workspace.prepared_folder(plan, STAGE), names) for names in workspace.read_fold(0)
    )
    return Job(plan, STAGE, 0, training, validation, folder, find_device("cpu"), workers=0)


if __name__ == "__main__":
    main()
