"""A cascade against its low-resolution stage, and a chain of stages on real label maps.

    python benchmarks/cascade.py [--cases 16] [--memory 0.17] [--iterations 1000] [--vary-previous] [--work FOLDER] …
    python benchmarks/cascade.py --labels FOLDER [--cases 4] [--memory 1] [--iterations 20] …

Without --labels: generates CT-like data (benchmarks/kits_like.py), plans for it with --memory GB and then with less,
until the planner derives a 3d_lowres of voxels four times larger and a 3d_cascade; adds a stage that is trained on
crops, 20 mm around what 3d_lowres found; trains the three on either half of the cases for a fixed number of iterations
with 8 features; compares their Dice over all cases, each by the model of the other half, and lists how large the crops
are and what true labels they lose. The page tells what it took.
The cascade sees the prediction of 3d_lowres as it is, as the planner has it in short trainings; with --vary-previous as
nnU-Net has it, borders moved and components dropped.

With --labels: takes real label maps on their grids (FOLDER/case_*/segmentation.nii.gz, as in KiTS19), simulates the
intensities of CT for them, and takes the same chain through plan, a brief training and the prediction of a case that
none of the models saw. That it runs is what it shows, the Dice of so brief a training is not.

Writes benchmarks/results/cascade.md and .json, or cascade_varied and cascade_real. With --work a second call goes on
where the first was interrupted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from kits_like import generate_kits
from scipy import ndimage as ndi

from autoseg.dataset import Dataset, read_label_map, split_ending, write_image, write_label_map
from autoseg.evaluation import Scores, evaluate, read_scores
from autoseg.evaluation.intervals import paired_difference
from autoseg.files import read_json, write_json
from autoseg.inference.model import describe_machine
from autoseg.plan import Plan, write_plan
from autoseg.plan.previous import CropAround, Previous
from autoseg.plan.training import AdamW
from autoseg.preprocessing.previous_maps import REPORT
from autoseg.workflow.selecting import merge_scores
from autoseg.workflow.trained import SCORES
from autoseg.workflow.workspace import Workspace

RESULTS = Path(__file__).resolve().parent / "results"
LOW, CASCADE, CROP = STAGES = ("3d_lowres", "3d_cascade", "3d_crop")
MARGIN_MM = 20.0
FEATURES = (8, 16, 32, 64, 80, 80, 80)
EPOCHS = 4
MIRROR, VARIED = "mirror", ("previous_binary", "previous_components")  # take longer to learn from than there is here
COARSER = 4.0  # times larger voxels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, help="folder of real label maps")
    parser.add_argument("--cases", type=int)
    parser.add_argument("--memory", type=float)
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--vary-previous", action="store_true", help="augment what the low resolution predicted")
    parser.add_argument("--work", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    cases, memory, iterations = (4, 1.0, 20) if arguments.labels else (16, 0.17, 1000)
    cases, memory = arguments.cases or cases, arguments.memory or memory
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        root = arguments.work or Path(temporary)
        if arguments.labels:
            dataset = simulate(arguments.labels, root, cases)
        else:
            dataset = generate_kits(root / "generated", cases)
        dataset = halved(dataset)
        workspace = Workspace(root / "work")
        left_out = (MIRROR,) if arguments.vary_previous else (MIRROR, *VARIED)
        chain = planned(dataset, workspace, memory, arguments.iterations or iterations, left_out)
        write_plan(root / "chain.json", chain)
        folds = ",".join(map(str, range(len(workspace.folds_of(dataset)))))
        autoseg("run", dataset.path, "-w", workspace.path, "--name", "chain", "--like", root / "chain.json",
                "--device", "cpu", "--folds", folds)  # fmt: skip
        chain = workspace.read_plan("chain")
        found = compared(chain, workspace) | crops(dataset, chain, workspace)
        if arguments.labels:
            found["unseen"] = unseen(root, workspace, chain)
    found |= {
        "command": command(arguments, cases, memory, arguments.iterations or iterations),
        "machine": describe_machine(torch.device("cpu")),
        "load_average": os.getloadavg()[0],
        "minutes": (time.perf_counter() - started) / 60,
        "stages": {name: shown(chain, name) for name in STAGES},
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    name = "cascade_real" if arguments.labels else "cascade_varied" if arguments.vary_previous else "cascade"
    write_json(arguments.output / f"{name}.json", found)
    (arguments.output / f"{name}.md").write_text(page(found))
    print(page(found))


def command(arguments: argparse.Namespace, cases: int, memory: float, iterations: int) -> str:
    labels = f" --labels {arguments.labels.name}" if arguments.labels else ""
    varied = " --vary-previous" * arguments.vary_previous
    return f"python benchmarks/cascade.py{labels} --cases {cases} --memory {memory:g} --iterations {iterations}{varied}"


def halved(dataset: Dataset) -> Dataset:
    """The dataset with splits of its own: either half of the cases to train on, the other to predict."""
    names = [case.name for case in dataset.cases]
    halves = names[::2], names[1::2]
    splits = [{"train": one, "val": other} for one, other in (halves, halves[::-1])]
    write_json(dataset.path / "splits_final.json", splits)
    return Dataset.open(dataset.path)


def planned(dataset: Dataset, workspace: Workspace, memory: float, iterations: int, left_out: Sequence[str]) -> Plan:
    """The derived chain with a stage on crops, each trained briefly by a narrow network, with less augmentation."""
    plan = derived(dataset, workspace, memory)
    previous = Previous(stage=LOW, as_channels=False, crop=CropAround(margin_mm=MARGIN_MM))
    stages = {name: plan.stages[name] for name in (LOW, CASCADE)}
    stages[CROP] = plan.stages["3d_fullres"].model_copy(update={"previous": previous})
    for name, stage in stages.items():
        network = stage.network
        training = stage.training.model_copy(
            update={
                "epochs": EPOCHS,
                "minutes": None,
                "iterations_per_epoch": max(1, iterations // EPOCHS),
                "validation_iterations": 2,
            }
        )
        stages[name] = stage.model_copy(
            update={
                "network": network.model_copy(update={"features": FEATURES[: len(network.features)]}),
                "optimizer": AdamW(learning_rate=0.004, weight_decay=0.02),  # as `standard` gives short trainings
                "augmentation": tuple(one for one in stage.augmentation if one.kind not in left_out),
                "sampling": stage.sampling.model_copy(update={"batch_size": 2}),
                "training": training,
                "inference": stage.inference.model_copy(update={"mirror_axes": ()}),
            }
        )
    return plan.model_copy(update={"name": "chain", "stages": stages, "decisions": {}})


def derived(dataset: Dataset, workspace: Workspace, memory: float) -> Plan:
    """By nnU-Net's rules, for as little memory as it takes until the low resolution differs enough to be one."""
    for _ in range(8):
        name = f"derived_{memory:.2f}"
        autoseg("plan", dataset.path, "-w", workspace.path, "--preset", "nnunet", "--device", "cpu",
                "--memory", f"{memory:.2f}", "--name", name)  # fmt: skip
        plan = workspace.read_plan(name)
        if LOW in plan.stages:
            low, full = (np.prod(plan.stages[one].preprocessing.spacing_mm) for one in (LOW, CASCADE))
            if low >= COARSER * full:
                return plan
        memory *= 0.7
    sys.exit("The images are too small beside the memory for a cascade: begin with less memory (--memory).")


def compared(plan: Plan, workspace: Workspace) -> dict[str, object]:
    """Dice of every stage over all cases, and by how much the others differ from the first."""
    scores = {name: cross_validated(plan, workspace, name) for name in STAGES}
    tables = {name: one.table().sort_index().to_numpy(np.float64) for name, one in scores.items()}
    return {
        "cases": len(scores[LOW].cases),
        "dice": {name: {"mean": one.mean, **one.per_target} for name, one in scores.items()},
        "difference": {
            name: paired_difference(tables[LOW], tables[name])._asdict() for name in (CASCADE, CROP)
        },
    }  # fmt: skip


def cross_validated(plan: Plan, workspace: Workspace, stage: str) -> Scores:
    folders = [workspace.fold_folder(plan, stage, fold) for fold in workspace.fold_numbers()]
    return merge_scores([read_scores(folder / SCORES) for folder in folders])


def crops(dataset: Dataset, plan: Plan, workspace: Workspace) -> dict[str, object]:
    """How large the crops are beside the images, and what true labels they lose."""
    names = [case.name for case in dataset.cases]
    placed = {case.name: case.placement for case in workspace.open_prepared(plan, CROP, names)}
    return {
        "crops": {
            name: {
                "image": list(one.native_shape),
                "crop": [stop - start for start, stop in one.crop],
                "share": float(np.prod([stop - start for start, stop in one.crop]) / np.prod(one.native_shape)),
            }
            for name, one in placed.items()
        },
        "lost": read_json(workspace.previous_folder(plan, CROP) / REPORT),
    }


def unseen(root: Path, workspace: Workspace, plan: Plan) -> dict[str, object]:
    """A new image goes through the whole chain."""
    found: dict[str, object] = {}
    [image] = [case.images[0] for case in Dataset.open(root / "simulated").test_cases]
    for stage in STAGES:
        output, started = root / "predicted" / stage, time.perf_counter()
        autoseg("predict", workspace.stage_folder(plan, stage), image, "-o", output, "--device", "cpu")
        seconds = time.perf_counter() - started
        [predicted] = output.glob("*.nii.gz")
        scores = evaluate(output, {split_ending(predicted.name)[0]: root / "new.nii.gz"}, plan.dataset.labels)
        found[stage] = {"dice": scores.mean, "seconds": seconds}
    return found


def simulate(labels: Path, root: Path, count: int) -> Dataset:
    """CT intensities for the smallest of real label maps, with one more whose label map is kept apart."""
    folder = root / "simulated"
    files = sorted(labels.glob("case_*/segmentation.nii.gz"), key=lambda path: (path.stat().st_size, path))
    for number, path in enumerate(files[: count + 1]):
        target = folder / path.parent.name
        if not (target / "imaging.nii.gz").is_file():
            label_map, grid = read_label_map(path)
            write_label_map(root / "new.nii.gz" if number == count else target / path.name, label_map, grid)
            write_image(target / "imaging.nii.gz", intensities(label_map, number), grid)
    return Dataset.open(folder)


def intensities(label_map: np.ndarray, seed: int) -> np.ndarray:
    """A body in air with a spine, kidneys brighter than it and tumours between the two, smoothed, with noise."""
    rng = np.random.default_rng(seed)
    lateral, depth, along = np.ogrid[tuple(slice(-1, 1, size * 1j) for size in label_map.shape)]
    body = np.broadcast_to((lateral / 0.9) ** 2 + (depth / 0.7) ** 2 < 1, label_map.shape)
    spine = np.broadcast_to(lateral**2 + (depth - 0.4) ** 2 < 0.008, label_map.shape)
    image = np.where(body | (label_map > 0), np.float32(40), np.float32(-1000))
    for _ in range(10):  # what is as bright as kidneys elsewhere
        centre, size = rng.uniform((-0.5, -0.5, -1), (0.5, 0.1, 1)), rng.uniform(0.05, 0.15)
        blob = sum(((axis - at) / size) ** 2 for axis, at in zip((lateral, depth, along), centre, strict=True)) < 1
        image[blob] = rng.uniform(90, 190)
    image[spine] = 450
    image[label_map == 1], image[label_map == 2] = rng.uniform(150, 195), rng.uniform(75, 105)
    smooth = ndi.gaussian_filter(image, (0.6, 0.6, 0.3))
    noisy = smooth + 20 * rng.standard_normal(label_map.shape, dtype=np.float32)
    return np.clip(np.rint(noisy), -1024, 3071).astype(np.int16)


def autoseg(*arguments: object) -> None:
    command = [sys.executable, "-m", "autoseg", *map(str, arguments)]
    if (code := subprocess.run(command, check=False).returncode) != 0:
        sys.exit(f"{' '.join(command)}: exit code {code}")


def shown(plan: Plan, name: str) -> dict[str, object]:
    stage = plan.stages[name]
    return {
        "spacing_mm": stage.preprocessing.spacing_mm,
        "patch_size": stage.sampling.patch_size,
        "batch_size": stage.sampling.batch_size,
        "iterations": EPOCHS * stage.training.iterations_per_epoch,
    }


def page(found: dict) -> str:
    machine, lost = found["machine"], found["lost"]
    shares = [one["share"] for one in found["crops"].values()]
    targets = list(next(iter(found["dice"].values())))
    lines = [
        "# A cascade and its low-resolution stage",
        "",
        f"{machine['hardware']}, {machine['date'][:10]}, load average {found['load_average']:.1f}; "
        f"{found['minutes']:.0f} minutes.",
        "",
        f"    {found['command']}",
        "",
        f"Cross-validated Dice of {found['cases']} cases, each predicted by the model of the other half; difference "
        "from the low resolution, paired, with its 95 % interval.",
        "",
        f"| stage | voxels, mm | patch | iterations | {' | '.join(targets)} | difference |",
        f"|{'---|' * (len(targets) + 5)}",
    ]
    for name, dice in found["dice"].items():
        stage, apart = found["stages"][name], found["difference"].get(name)
        spacing = " × ".join(f"{mm:.2f}" for mm in stage["spacing_mm"])
        values = " | ".join("–" if value is None else f"{value:.3f}" for value in dice.values())
        gain = "" if apart is None else f"{signed(apart['mean'])} ({signed(apart['low'])} to {signed(apart['high'])})"
        patch = " × ".join(map(str, stage["patch_size"]))
        lines.append(f"| {name} | {spacing} | {patch} | {stage['iterations']} | {values} | {gain} |")
    lines += [
        "",
        f"The crop stage sees {min(shares):.1%} to {max(shares):.1%} of an image, {np.mean(shares):.1%} on average; of "
        f"the true labels {lost['share_outside']:.2%} lie outside. In "
        f"{sum(not case['found'] for case in lost['cases'].values())} of {len(lost['cases'])} cases the first stage "
        "found nothing, and the whole image was taken.",
    ]
    seen = (
        "with nnU-Net's augmentation of it, borders moved and components dropped"
        if "--vary-previous" in found["command"]
        else "as it is, as the planner has it in short trainings"
    )
    lines += ["", f"The cascade is trained to see the prediction of the low resolution {seen}."]
    if "unseen" in found:
        told = "; ".join(
            f"{name} {one['seconds']:.0f} s, Dice {one['dice']:.3f}" for name, one in found["unseen"].items()
        )
        lines += ["", f"A case that no model saw, predicted by all folds, the stages before included: {told}."]
    return "\n".join(lines) + "\n"


def signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}"


if __name__ == "__main__":
    main()
