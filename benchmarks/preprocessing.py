"""Preprocessing, ours and nnU-Net's: seconds, memory, and whether the arrays are the same.

    python benchmarks/preprocessing.py DATA [--nnunet-python PYTHON] [--figures 1 2] [--rounds 3] [-w FOLDER]

1. One CT, 105×512×512 voxels of 3×0.98×0.98 mm, cropped, normalised and resampled with its label map, and voxels of
   every label sampled, to 0.78 mm and to 1.33 mm: `prepare_image`, `prepare_labels`, `sample_locations` here,
   `DefaultPreprocessor.run_case_npy` there. The label map is DATA/kits19_labels/case_00127; it comes without its
   image, so intensities are made up.
2. Fingerprint, plan and preprocessing of DATA/hippocampus for a 2-D and a 3-D stage, by the commands a user types.

Each side runs in a process of its own, the two in turn, and the median counts; as many processes as there are cores
for both. Peak memory is the largest resident set of a process. nnU-Net 2.8.1 is installed into an environment under
FOLDER unless a Python that has it is given. Writes benchmarks/results/preprocessing.{md,json}.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SIDES = ("autoseg", "nnunet")
CASE = Path("kits19_labels") / "case_00127" / "segmentation.nii.gz"
SPACING_MM = (3.0, 0.98, 0.98)
TARGETS_MM = (0.78, 1.33)
# nnU-Net's window for kidneys in KiTS19
WINDOW = {"percentile_00_5": -79.0, "percentile_99_5": 304.0, "mean": 101.0, "std": 76.9}
LABELS = {"background": 0, "kidney": 1, "tumour": 2}
FIGURE_1 = "One CT, cropped, normalised, resampled to {} mm"
FIGURE_2 = "Fingerprint, plan and preprocessing of hippocampus, two stages"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder with kits19_labels and hippocampus")
    parser.add_argument("--nnunet-python", type=Path, help="a Python that has nnU-Net; else one is made")
    parser.add_argument("--figures", type=int, nargs="+", choices=(1, 2), default=(1, 2))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-w", "--work", type=Path, default=Path("autoseg-work/preprocessing"))
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results")
    parser.add_argument("--note", default="", help="a sentence for the results: what else ran on the machine")
    parser.add_argument("--task", type=json.loads, help=argparse.SUPPRESS)  # what the processes are started with
    arguments = parser.parse_args()
    if arguments.task:
        tasks = {"ct": write_ct, "side": run_side, "difference": print_difference}
        tasks[arguments.task.pop("do")](**arguments.task)
        return
    arguments.work, arguments.data = arguments.work.resolve(), arguments.data.resolve()
    arguments.work.mkdir(parents=True, exist_ok=True)
    from beside_nnunet import nnunet_python  # not above: nnU-Net's Python reads this file, too, and has no autoseg

    theirs = nnunet_python(arguments.nnunet_python, arguments.work)
    pythons = dict(zip(SIDES, (Path(sys.executable), theirs), strict=True))
    rows = []
    if 1 in arguments.figures:
        run_task(pythons["autoseg"], do="ct", label_file=str(arguments.data / CASE), work=str(arguments.work))
        for spacing_mm in TARGETS_MM:
            rows.append(compare_ct(spacing_mm, pythons, arguments))
            print(table_row(rows[-1]), flush=True)
    if 2 in arguments.figures:
        rows.append(compare_commands(pythons, arguments))
        print(table_row(rows[-1]), flush=True)
    write_results(rows, arguments)


def run_task(python: Path, **task: Any) -> Any:
    """Does something in a process of its own, and reads what it printed: this one stays small, as a process inherits
    the peak of the one that started it."""
    command = [python, __file__, ".", "--task", json.dumps(task)]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1]) if run.stdout else None


def write_ct(label_file: str, work: str) -> None:
    """The label map, and made-up intensities: a level a label, texture, noise, air around the body."""
    import numpy as np
    from scipy import ndimage

    from autoseg.dataset import read_label_map

    label_map, _ = read_label_map(label_file)
    label_map = np.ascontiguousarray(np.moveaxis(label_map, label_map.shape.index(min(label_map.shape)), 0), np.uint8)
    random = np.random.default_rng(127)
    coarse = random.normal(size=[-(-size // 8) + 1 for size in label_map.shape])
    texture = ndimage.zoom(coarse, 8, order=1)[tuple(slice(size) for size in label_map.shape)]
    image = np.array([-20, 150, 80])[label_map] + 40 * texture + random.normal(scale=15, size=label_map.shape)
    y, x = (np.linspace(-1, 1, size) for size in label_map.shape[1:])
    image[:, (y[:, None] ** 2 / 0.6 + x**2 / 0.9) > 1] = -1000
    image = image.round()
    image[image == 0] = 1  # 0 would be nothing
    np.save(Path(work) / "image.npy", image.astype(np.float32)[None])
    np.save(Path(work) / "labels.npy", label_map)


def compare_ct(spacing_mm: float, pythons: dict[str, Path], arguments: argparse.Namespace) -> dict[str, Any]:
    """Figure 1."""
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(arguments.rounds):
        for side in SIDES:
            found[side].append(
                run_task(pythons[side], do="side", side=side, spacing_mm=spacing_mm, work=str(arguments.work))
            )
    equal = run_task(pythons["autoseg"], do="difference", figure=1, work=str(arguments.work))
    return {"figure": FIGURE_1.format(spacing_mm), **medians(found), **equal}


def run_side(side: str, spacing_mm: float, work: str) -> None:
    """One side of figure 1: prints seconds and peak memory, and leaves the arrays."""
    import resource

    import numpy as np

    folder = Path(work)
    image, labels = np.load(folder / "image.npy"), np.load(folder / "labels.npy")
    prepare = with_autoseg(spacing_mm) if side == "autoseg" else with_nnunet(spacing_mm)
    started, computed = time.perf_counter(), time.process_time()
    prepared = prepare(image, labels)
    seconds, computed = time.perf_counter() - started, time.process_time() - computed
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    for what, array in zip(("image", "labels"), prepared, strict=True):
        np.save(folder / f"{side}_{what}.npy", array)
    print(json.dumps({"seconds": seconds, "cpu_seconds": computed, "peak_bytes": peak}))


def with_autoseg(spacing_mm: float) -> Any:
    import autoseg.preprocessing.resampling_classes  # noqa: F401  # torch, which is loaded where a voxel size changes
    from autoseg.dataset import Labels
    from autoseg.dataset.images import Image
    from autoseg.geometry import plain_grid
    from autoseg.plan.preprocessing import CTWindow, Preprocessing
    from autoseg.preprocessing import prepare_image, prepare_labels
    from autoseg.preprocessing.locations import sample_locations

    window = CTWindow(
        lower=WINDOW["percentile_00_5"], upper=WINDOW["percentile_99_5"], mean=WINDOW["mean"], std=WINDOW["std"]
    )
    plan = Preprocessing(spacing_mm=(spacing_mm,) * 3, normalisation=(window,))
    meaning = Labels(values=LABELS)

    def prepare(image: Any, labels: Any) -> tuple[Any, Any]:
        array, placement = prepare_image(Image(image, plain_grid(labels.shape, SPACING_MM)), plan)
        class_map = prepare_labels(labels, placement, meaning)
        sample_locations(class_map, meaning)
        return array, class_map

    return prepare


def with_nnunet(spacing_mm: float) -> Any:
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    arguments = {"order_z": 0, "force_separate_z": None}
    configuration = {
        "architecture": {},
        "spacing": [spacing_mm] * 3,
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, **arguments},
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, **arguments},
    }
    plans = PlansManager(
        {
            "transpose_forward": [0, 1, 2],
            "foreground_intensity_properties_per_channel": {"0": WINDOW},
            "configurations": {"3d_fullres": configuration},
            "label_manager": "LabelManager",
        }
    )
    dataset = {"labels": LABELS}

    def prepare(image: Any, labels: Any) -> tuple[Any, Any]:
        array, seg, _ = DefaultPreprocessor(verbose=False).run_case_npy(
            image, labels[None].astype("int8"), {"spacing": list(SPACING_MM)}, plans,
            plans.get_configuration("3d_fullres"), dataset,
        )  # fmt: skip
        return array, seg[0]

    return prepare


def compare_commands(pythons: dict[str, Path], arguments: argparse.Namespace) -> dict[str, Any]:
    """Figure 2."""
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    dataset, work = arguments.data / "hippocampus", arguments.work / "hippocampus"
    for _ in range(arguments.rounds):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        for side, run in zip(SIDES, (autoseg_commands, nnunet_commands), strict=True):
            commands, environment = run(pythons[side], dataset, work)
            found[side].append(time_commands(commands, environment))
    equal = run_task(pythons["autoseg"], do="difference", figure=2, work=str(work))
    return {"figure": FIGURE_2, **medians(found), **equal}


def autoseg_commands(python: Path, dataset: Path, work: Path) -> tuple[list[list[str]], dict[str, str]]:
    start = [str(python), "-m", "autoseg"]
    end = [str(dataset), "-w", str(work / "autoseg"), "--quiet"]
    return [[*start, "plan", *end, "--preset", "nnunet"], [*start, "preprocess", *end]], {}  # the plan measures first


def nnunet_commands(python: Path, dataset: Path, work: Path) -> tuple[list[list[str]], dict[str, str]]:
    from beside_nnunet import nnunet_environment

    (work / "nnUNet_raw").mkdir()
    (work / "nnUNet_raw" / "Dataset004_Hippocampus").symlink_to(dataset)
    jobs = str(len(os.sched_getaffinity(0)))
    command = [str(python.parent / "nnUNetv2_plan_and_preprocess"), "-d", "4", "-c", "2d", "3d_fullres"]
    return [[*command, "-npfp", jobs, "-np", jobs, jobs]], nnunet_environment(work)


def time_commands(commands: list[list[str]], environment: dict[str, str]) -> dict[str, float]:
    """Seconds of all, and the peak memory of the largest process among them."""
    from beside_nnunet import run_apart

    environment = {**environment, "PYTHONDONTWRITEBYTECODE": ""}  # compiled modules are kept, as usual
    runs = [run_apart(command, environment) for command in commands]
    return {
        "seconds": sum(run["process_seconds"] for run in runs),
        "cpu_seconds": sum(run["cpu_seconds"] for run in runs),
        "peak_bytes": max(run["peak_bytes"] for run in runs),
    }


def print_difference(figure: int, work: str) -> None:
    import numpy as np

    folder = Path(work)
    if figure == 2:
        found = difference(list(autoseg_arrays(folder)), list(nnunet_arrays(folder)))
    else:
        sides = [[np.load(folder / f"{side}_{what}.npy", "r") for what in ("image", "labels")] for side in SIDES]
        found = difference(*([side] for side in sides))
    print(json.dumps(found))


def autoseg_arrays(work: Path) -> Any:
    """Image and labels of every case of every stage, ordered by stage and name."""
    import autoseg
    from autoseg.preprocessing import PreparedCase

    workspace = autoseg.Workspace(work / "autoseg")
    plan = workspace.read_plan()
    for stage in ("2d", "3d_fullres"):
        folder = workspace.prepared_folder(plan, stage)
        for record in sorted(folder.glob("*.json")):
            case = PreparedCase(record.stem, folder)
            yield case.image()[:], case.labels()[0]


def nnunet_arrays(work: Path) -> Any:
    import blosc2
    import numpy as np

    folder = work / "nnUNet_preprocessed" / "Dataset004_Hippocampus"
    for stage in ("2d", "3d_fullres"):
        for labels in sorted((folder / f"nnUNetPlans_{stage}").glob("*_seg.b2nd")):
            image = labels.with_name(labels.name.replace("_seg.b2nd", ".b2nd"))
            yield blosc2.open(str(image))[:], np.maximum(blosc2.open(str(labels))[0], 0)  # -1: nothing in the image


def difference(ours: list[Any], theirs: list[Any]) -> dict[str, float]:
    """How far the images are apart, and how many voxels of the label maps differ."""
    import numpy as np

    image, voxels = 0.0, 0
    for (our_image, our_labels), (their_image, their_labels) in zip(ours, theirs, strict=True):
        for one, other in zip(our_image[0], their_image[0], strict=True):
            image = max(image, float(np.abs(one - other).max()))
        voxels += int((our_labels != their_labels).sum())
    return {"image_difference": image, "labels_different": voxels, "labels": sum(pair[1].size for pair in ours)}


def medians(found: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    middle = {
        side: {key: statistics.median(run[key] for run in runs) for key in ("seconds", "cpu_seconds", "peak_bytes")}
        for side, runs in found.items()
    }
    return {**middle, "runs": found}


def table_row(row: dict[str, Any]) -> str:
    ours, theirs = row["autoseg"], row["nnunet"]
    cells = [
        row["figure"],
        f"{theirs['seconds']:.1f}",
        f"{ours['seconds']:.2f}",
        f"**{theirs['seconds'] / ours['seconds']:.1f}×**",
        f"{theirs['cpu_seconds'] / ours['cpu_seconds']:.1f}×",
        f"{theirs['peak_bytes'] / 1e9:.2f}",
        f"{ours['peak_bytes'] / 1e9:.2f}",
        f"**{ours['peak_bytes'] / theirs['peak_bytes']:.2f}**",
        f"{row['image_difference']:.1e}",
        f"{row['labels_different']} of {row['labels'] / 1e6:.1f} million",
    ]
    return "| " + " | ".join(cells) + " |"


def write_results(rows: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    from beside_nnunet import this_machine

    columns = ["what", "nnU-Net, s", "autoseg, s", "faster", "less CPU time", "nnU-Net, GB", "autoseg, GB", "memory"]
    columns += ["image differs by", "voxels of labels that differ"]
    lines = [
        "# Preprocessing, autoseg and nnU-Net 2.8.1",
        "",
        f"Machine: {this_machine()}. Medians of {arguments.rounds} rounds, the two in turn.",
        *([arguments.note] if arguments.note else []),
        "",
        "    python benchmarks/preprocessing.py DATA",
        "",
        "| " + " | ".join(columns) + " |",
        "|---" * len(columns) + "|",
        *(table_row(row) for row in rows),
        "",
        "Memory is the largest resident set of a process. Images are normalised: their values are near 1. "
        f"The CT has 105×512×512 voxels of {'×'.join(f'{size:g}' for size in SPACING_MM)} mm.",
    ]
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "preprocessing.md").write_text("\n".join(lines) + "\n")
    record = {"machine": this_machine(), "note": arguments.note, "rows": rows}
    (arguments.output / "preprocessing.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
