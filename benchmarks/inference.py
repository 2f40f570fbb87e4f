"""Prediction beside nnU-Net: from logits to labels, whole cases with the same weights, a large volume.

    python benchmarks/inference.py DATA [--parts restore many_labels same_weights large] [--model FOLD]
                                        [--nnunet-python PYTHON] [-w WORKSPACE]

DATA holds `kits19_labels/case_00127/segmentation.nii.gz` (KiTS19) and `hippocampus/` (Medical Segmentation Decathlon,
Task04, as nnU-Net lays it out). The parts:

- restore: logits at 0.78 mm, simulated from the label map of the KiTS19 case, become its label map again on the CT's
  own grid; both sides, and in one piece.
- many_labels: the same with 105 labels, whose logits do not fit any memory and are made while they are used; at 2 mm
  in pieces and in one piece; at 2 mm with 21 labels, both sides.
- same_weights: validation cases of hippocampus, predicted by both sides with the same weights and mirrored views.
  Without --model a model is trained for ten minutes first.
- large: `autoseg predict` on 1000 × 512 × 512 voxels: the memory it expects, the memory it takes.

Every run is a process of its own; both sides take turns, and times are medians. Without --nnunet-python, nnU-Net is
installed into an environment in the workspace. A part's results are written when it is done, beside those of the
other parts, to benchmarks/results/inference.{md,json}; what was simulated or trained stays in the workspace.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from beside_nnunet import alternate, gigabytes, nnunet_environment, nnunet_python, run_apart, this_machine
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

import autoseg
from autoseg.dataset import Description, Labels, find_cases, read_label_map, write_image
from autoseg.geometry import plain_grid
from autoseg.inference.folder import predict_cases
from autoseg.inference.model import Model, read_model, read_weights, write_model
from autoseg.inference.predictor import Predictor
from autoseg.networks import build_network
from autoseg.plan import Budget, Plan, Stage
from autoseg.plan.preprocessing import Preprocessing
from autoseg.preprocessing import Placement, place
from autoseg.preprocessing.restoring import Restorer

HERE = Path(__file__).resolve().parent
SEED = 127
ROWS = 16  # of logits that are added at once
FEW, SOME, MANY = 3, 21, 105  # labels, background included
PLANES = 127  # of noise, from which the logits of many labels are made; a prime number
STAGE = "3d_fullres"
NATIVE = "RAS"  # how the images of hippocampus lie: a plan that wants them so turns none
RESAMPLING = "resample_data_or_seg_to_shape"  # nnU-Net's default, for everything
Figure = dict[str, str]
Native = tuple[list[int], list[float]]  # voxels and mm, (z, y, x), of the CT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--nnunet-python", type=Path, help="of an environment with nnunetv2 2.8.1")
    parser.add_argument("--model", type=Path, help="a fold's folder, trained on hippocampus")
    parser.add_argument("--minutes", type=float, default=10, help="that a model is trained for without --model")
    parser.add_argument("--cases", type=int, default=10, help="of hippocampus")
    parser.add_argument("--fine", type=float, default=0.78, help="mm, of logits")
    parser.add_argument("--coarse", type=float, default=2.0, help="mm, of logits that fit the memory for many labels")
    parser.add_argument("--voxels", type=int, nargs=3, default=[1000, 512, 512], help="of the large volume")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-w", "--workspace", type=Path, default=Path("autoseg-work/inference"))
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results")
    parser.add_argument("--note", default="", help="a sentence for the results: what else ran on the machine")
    arguments = parser.parse_args()
    arguments.data, arguments.workspace = arguments.data.resolve(), arguments.workspace.resolve()
    arguments.workspace.mkdir(parents=True, exist_ok=True)
    for part in arguments.parts:
        print(f"{part}:", flush=True)
        figures, measured = PARTS[part](arguments)
        for figure in figures:
            print("  " + "   ".join(text for text in figure.values() if text), flush=True)
        write_part(arguments, part, figures, measured)


# --- The parts. Each returns the lines of the table and all that was measured. ---


def restore_few_labels(arguments: argparse.Namespace) -> tuple[list[Figure], dict[str, Any]]:
    """Figure 3 of few labels: logits in a file, both sides."""
    file, (native, native_mm) = simulated_logits(arguments), ct_grid(arguments)
    settings = {"native": native, "native_mm": native_mm, "spacing_mm": [arguments.fine] * 3, "outputs": FEW}
    name = f"{FEW} labels, logits at {arguments.fine:g} mm to labels at {_times(native)}"
    return both_restore(arguments, name, file, settings, ("≥ 8×", "≤ ¼"))


def restore_many_labels(arguments: argparse.Namespace) -> tuple[list[Figure], dict[str, Any]]:
    """Figure 3 of many labels: the memory alone at the fine spacing; at the coarse one, both sides."""
    native, native_mm = ct_grid(arguments)
    ct = {"native": native, "native_mm": native_mm}
    fine = {**ct, "spacing_mm": [arguments.fine] * 3, "outputs": MANY}
    coarse = {**ct, "spacing_mm": [arguments.coarse] * 3}
    one = our_step(arguments, "restore", **fine, rows=ROWS // 4, target="many_fine")
    name = f"{MANY} labels, {_times(logits_shape(fine))} logits at {arguments.fine:g} mm"
    figures = [
        row(f"{name}: seconds", f"{one['seconds']:.1f} s"),
        row(f"{name}: peak memory", gigabytes(one["peak_bytes"]), asked="≤ 3 GB"),
    ]
    parts = our_step(arguments, "restore", **coarse, outputs=MANY, rows=ROWS // 4, target="many_coarse")
    whole = our_step(arguments, "restore", **coarse, outputs=MANY, rows=None, target="many_coarse_whole")
    differing = compare(arguments, "many_coarse", "many_coarse_whole")
    name = f"{MANY} labels at {arguments.coarse:g} mm"
    figures += [
        row(f"{name}: voxels that differ from the unstreamed computation", differing, asked="0"),
        row(f"{name}: peak memory, unstreamed", gigabytes(whole["peak_bytes"])),
    ]
    logits = arguments.workspace / f"logits_{SOME}_{arguments.coarse:g}mm.npy"
    if not logits.exists():
        our_step(arguments, "write_noise", **coarse, outputs=SOME, target=str(logits))
    name = f"{SOME} labels, logits at {arguments.coarse:g} mm"
    some_figures, some = both_restore(arguments, name, logits, {**coarse, "outputs": SOME}, ("", ""))
    measured = {"many_fine": one, "many_coarse": parts, "many_coarse_unstreamed": whole, "some_coarse": some}
    return figures + some_figures, measured


def both_restore(
    arguments: argparse.Namespace, name: str, logits: Path, settings: dict[str, Any], asked: tuple[str, str]
) -> tuple[list[Figure], dict[str, Any]]:
    """Logits in a file, by both sides in turns, and by ours in one piece."""
    of_ours = partial(our_step, arguments, "restore", **settings, logits=str(logits))
    of_theirs = {key: settings[key] for key in ("native", "native_mm", "outputs")}
    of_theirs |= {"plans": plans_of_nnunet(settings["spacing_mm"]), "logits": str(logits)}
    sides = {
        "autoseg": partial(of_ours, rows=ROWS, target="ours"),
        "nnU-Net": partial(their_step, arguments, "restore", **of_theirs, target=str(arguments.workspace / "theirs")),
    }
    found = alternate(sides, arguments.rounds)
    whole = of_ours(rows=None, target="ours_whole")
    ours, theirs = found["autoseg"], found["nnU-Net"]
    of = f"of {np.prod(settings['native']):,}"
    figures = [
        row(f"{name}: seconds", *ratio(ours, theirs, "seconds"), asked=asked[0]),
        row(f"{name}: peak memory", *ratio(ours, theirs, "peak_bytes"), asked=asked[1]),
        row(f"{name}: voxels that differ from nnU-Net's", f"{compare(arguments, 'ours', 'theirs')} {of}"),
        row(
            f"{name}: voxels that differ from the unstreamed computation",
            f"{compare(arguments, 'ours', 'ours_whole')} {of}",
            asked="0",
        ),
    ]
    return figures, {"settings": settings, **found, "unstreamed": whole}


def predict_with_same_weights(arguments: argparse.Namespace) -> tuple[list[Figure], dict[str, Any]]:
    """Figure 4: whole predictions; nnU-Net in one process and in several, the faster one counts."""
    fold = arguments.model or train(arguments)
    model = read_model(fold)
    cases = sorted(model.validation_cases)[: arguments.cases]
    images = [str(arguments.data / "hippocampus" / "imagesTr" / f"{case}_0000.nii.gz") for case in cases]
    theirs = arguments.workspace / "nnunet_model"
    write_nnunet_model(model, fold, theirs)
    predicted = {name: arguments.workspace / f"predicted_{name}" for name in ("ours", "theirs", "theirs_parallel")}
    of_theirs = partial(their_step, arguments, "predict", model=str(theirs), images=images)
    sides = {
        "autoseg": partial(
            our_step, arguments, "predict", model=str(fold), images=images, target=str(predicted["ours"])
        ),
        "nnU-Net": partial(of_theirs, target=str(predicted["theirs"]), in_processes=False),
        "nnU-Net, in several processes": partial(
            of_theirs, target=str(predicted["theirs_parallel"]), in_processes=True
        ),
    }
    found = alternate(sides, arguments.rounds)
    for side in found.values():
        side["seconds_a_case"] = side["seconds"] / len(cases)
    faster = min(("nnU-Net", "nnU-Net, in several processes"), key=lambda side: found[side]["seconds"])
    dice = agreement(predicted["ours"], predicted["theirs"], cases, model.plan.dataset.labels)
    stage = model.plan.stages[model.stage]
    name = f"{len(cases)} cases of hippocampus, {2 ** len(stage.inference.mirror_axes)} views"
    figures = [
        row(f"{name}: seconds a case", *ratio(found["autoseg"], found[faster], "seconds_a_case"), asked="≥ 2×"),
        row(f"{name}: the whole process, start included", *ratio(found["autoseg"], found[faster], "process_seconds")),
        row(f"{name}: mean Dice between the two", f"{np.mean(dice):.5f} (least {np.min(dice):.5f})", asked="≥ 0.999"),
    ]
    measured = {"cases": cases, "precision": stage.training.precision, "faster": faster, "dice": dice, **found}
    return figures, measured


def predict_large(arguments: argparse.Namespace) -> tuple[list[Figure], dict[str, Any]]:
    """Figure 5: what `autoseg predict` says and what it takes; and again with as little as it says it can do with."""
    name = "x".join(map(str, arguments.voxels))
    image, model = arguments.workspace / f"large_{name}_0000.nii.gz", arguments.workspace / "tiny"
    if not image.exists():
        our_step(arguments, "write_volume", voxels=arguments.voxels, target=str(image))
    write_tiny_model(model)
    default = predict_command(arguments, model, image)
    title = f"volume of {_times(arguments.voxels)}, {FEW} labels"
    figures = [
        row(f"{title}: memory expected, as logged", f"{default['expected_gb']:.1f} GB"),
        row(f"{title}: peak memory", gigabytes(default["peak_bytes"]), asked="≤ 6 GB"),
        row(f"{title}: seconds", f"{default['process_seconds']:.0f} s"),
    ]
    limit_gb = least_memory_gb(arguments, model, image)
    limited = predict_command(arguments, model, image, limit_gb)
    title += f", --max-memory {limit_gb:g}"
    figures += [
        row(f"{title}: memory expected, as logged", f"{limited['expected_gb']:.1f} GB"),
        row(f"{title}: peak memory", gigabytes(limited["peak_bytes"]), asked=f"≤ {limit_gb:g} GB"),
        row(f"{title}: seconds", f"{limited['process_seconds']:.0f} s"),
    ]
    same = np.array_equal(*(read_label_map(Path(run.pop("label_map")))[0] for run in (default, limited)))
    figures.append(row(f"{title}: the same label map", "yes" if same else "no", asked="yes"))
    return figures, {"default": default, "limited": limited}


PARTS: dict[str, Callable[[argparse.Namespace], tuple[list[Figure], dict[str, Any]]]] = {
    "restore": restore_few_labels,
    "many_labels": restore_many_labels,
    "same_weights": predict_with_same_weights,
    "large": predict_large,
}


# --- Processes, and what they are compared by. ---


def our_step(arguments: argparse.Namespace, step: str, **settings: Any) -> dict[str, Any]:
    """One of STEPS in a process of its own; a target without a folder lies in the workspace."""
    settings["target"] = str(arguments.workspace / settings["target"])
    return without_log(run_apart([sys.executable, __file__, "--step", step, json.dumps(settings)]))


def their_step(arguments: argparse.Namespace, step: str, **settings: Any) -> dict[str, Any]:
    """A step of nnU-Net's side."""
    python = nnunet_python(arguments.nnunet_python, arguments.workspace)
    command = [python, HERE / "nnunet_side.py", step, json.dumps(settings)]
    return without_log(run_apart(command, nnunet_environment(arguments.workspace)))


def without_log(run: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in run.items() if key != "log"}


def predict_command(
    arguments: argparse.Namespace, model: Path, image: Path, limit_gb: float | None = None
) -> dict[str, Any]:
    """`autoseg predict` as a user types it; with the memory it expects."""
    target = arguments.workspace / ("large_limited" if limit_gb else "large")
    shutil.rmtree(target, ignore_errors=True)
    command = [*predict_to(target, model, image), *(["--max-memory", f"{limit_gb:g}"] if limit_gb else [])]
    run = run_apart(command)
    expected_gb = memory_in(run.pop("log"), "expected to take ([0-9.]+) GB")
    print(f"  {run['process_seconds']:.0f} s, {expected_gb:g} GB expected, {gigabytes(run['peak_bytes'])}", flush=True)
    label_map = target / image.name.replace("_0000.nii.gz", ".nii.gz")
    return {**run, "expected_gb": expected_gb, "limit_gb": limit_gb, "label_map": str(label_map)}


def least_memory_gb(arguments: argparse.Namespace, model: Path, image: Path) -> float:
    """What `autoseg predict` says that it needs at least, where it is allowed next to nothing; 0.1 GB more."""
    run = run_apart([*predict_to(arguments.workspace / "none", model, image), "--max-memory", "0.1"], exit_code=2)
    return round(memory_in(run["log"], "takes ([0-9.]+) GB") + 0.1, 1)


def predict_to(target: Path, model: Path, image: Path) -> list[str | Path]:
    return [sys.executable, "-m", "autoseg", "predict", model, image, "-o", target, "--device", "cpu"]


def memory_in(log: str, words: str) -> float:
    found = re.search(words, log)
    if found is None:
        raise SystemExit(f"autoseg predict says nothing of the memory it takes:\n{log}")
    return float(found[1])


def train(arguments: argparse.Namespace) -> Path:
    """A fold of nnU-Net's plan; does nothing where it is trained."""
    workspace = autoseg.Workspace(arguments.workspace / "hippocampus")
    command = [sys.executable, "-m", "autoseg", "run", arguments.data / "hippocampus", "-w", workspace.path]
    command += ["--name", "nnunet", "--preset", "nnunet", "--stage", STAGE, "--folds", "0", "--device", "cpu"]
    print(f"  training for {arguments.minutes:g} minutes", flush=True)
    run_apart([*command, "--minutes", f"{arguments.minutes:g}", "--quiet"])
    return workspace.fold_folder(workspace.read_plan("nnunet"), STAGE, 0)


def compare(arguments: argparse.Namespace, one: str, other: str) -> str:
    """How many voxels of two label maps differ."""
    maps = [np.load(arguments.workspace / f"{name}.npy") for name in (one, other)]
    return f"{np.count_nonzero(maps[0] != maps[1]):,}"


def agreement(ours: Path, theirs: Path, cases: Sequence[str], labels: Labels) -> list[float]:
    """Dice between two predictions, of every label in every case that either finds it in."""
    found = []
    for case in cases:
        one, other = (read_label_map(folder / f"{case}.nii.gz")[0] for folder in (ours, theirs))
        for value in list(labels.values.values())[1:]:
            inside, size = np.sum((one == value) & (other == value)), np.sum(one == value) + np.sum(other == value)
            found += [2 * float(inside) / float(size)] if size else []
    return found


# --- Steps of ours, each in a process of its own. ---


def step_restore(
    native: list[int],
    native_mm: list[float],
    spacing_mm: list[float],
    outputs: int,
    rows: int | None,
    target: str,
    logits: str | None = None,
) -> dict[str, float]:
    """Logits, from a file or made here, to a label map; some rows at a time, or all at once."""
    placement = ct_placement(native, native_mm, spacing_mm)
    rows = rows or placement.shape[0]
    source = read_rows(Path(logits), rows) if logits else noise_rows(outputs, placement.shape, rows)
    restorer = Restorer(placement, make_labels(outputs))
    seconds, started = 0.0, time.perf_counter()
    for scores in source:
        before = time.perf_counter()
        restorer.add(scores)
        seconds += time.perf_counter() - before
    total = time.perf_counter() - started
    np.save(target, restorer.label_map)
    return {"seconds": seconds, "reading_seconds": total - seconds}


def step_simulate(source: str, spacing_mm: list[float], target: str) -> None:
    """Logits of the labels of a CT: high where the label is, with smooth borders, and noise."""
    label_map, native_mm = read_ct(Path(source))
    shape = ct_placement(list(label_map.shape), native_mm, spacing_mm).shape
    logits = np.lib.format.open_memmap(target, mode="w+", dtype=np.float32, shape=(FEW, *shape))
    for label in range(FEW):
        inside = ndimage.gaussian_filter((label_map == label).astype(np.float32), (0.5, 1.5, 1.5))
        finer = functional.interpolate(torch.from_numpy(inside)[None, None], shape, mode="trilinear")[0, 0].numpy()
        generator = np.random.default_rng([SEED, label])
        for scores, smooth in zip(logits[label], finer, strict=True):
            scores[:] = 8 * smooth + generator.standard_normal(shape[1:], dtype=np.float32)
    logits.flush()


def step_write_noise(
    native: list[int], native_mm: list[float], spacing_mm: list[float], outputs: int, target: str
) -> None:
    """A file of the logits that `noise_rows` makes."""
    shape = ct_placement(native, native_mm, spacing_mm).shape
    logits = np.lib.format.open_memmap(target, mode="w+", dtype=np.float32, shape=(outputs, *shape))
    first = 0
    for scores in noise_rows(outputs, shape, ROWS):
        logits[:, first : first + scores.shape[1]] = scores.numpy()
        first += scores.shape[1]
    logits.flush()


def step_predict(model: str, images: list[str], target: str) -> dict[str, float]:
    """What `autoseg predict` does, with a model that is loaded already."""
    shutil.rmtree(target, ignore_errors=True)
    predictor = Predictor.load(model, "cpu")
    started = time.perf_counter()
    outcome = predict_cases(predictor, find_cases([Path(image) for image in images], 1), Path(target))
    seconds = time.perf_counter() - started
    if outcome.predicted != len(images):
        raise SystemExit("\n".join(outcome.failures))
    return {"seconds": seconds}


def step_write_volume(voxels: list[int], target: str) -> None:
    """A volume like a CT's: smooth shapes between -1000 and 500, and noise."""
    z, y, x = voxels
    generator = torch.Generator().manual_seed(SEED)
    noise = torch.randn((PLANES, y, x), generator=generator).mul_(20)
    coarse = torch.randn((1, 1, 2 + z // 32, 2 + y // 32, 2 + x // 32), generator=generator)
    smooth = functional.interpolate(coarse, (z, coarse.shape[3], coarse.shape[4]), mode="trilinear")[0, 0]
    volume = np.empty((z, y, x), dtype=np.int16)
    for row, plane in enumerate(smooth):
        shapes = functional.interpolate(plane[None, None], (y, x), mode="bilinear")[0, 0]
        volume[row] = (shapes.mul_(500).clamp_(-1000, 500) + noise[row % PLANES]).numpy()
    write_image(target, volume, plain_grid((z, y, x), (1.0, 0.8, 0.8)))


STEPS: dict[str, Callable[..., dict[str, float] | None]] = {
    "restore": step_restore,
    "simulate": step_simulate,
    "write_noise": step_write_noise,
    "predict": step_predict,
    "write_volume": step_write_volume,
}


# --- What is put in. ---


def read_ct(file: Path) -> tuple[NDArray[np.integer], list[float]]:
    """A label map with the slices along the first axis (KiTS19 stores them along x), and mm."""
    label_map, grid = read_label_map(file)
    order = np.argsort(-np.array(grid.spacing_mm), kind="stable")
    return np.ascontiguousarray(label_map.transpose(order)), [grid.spacing_mm[axis] for axis in order]


def ct_file(arguments: argparse.Namespace) -> Path:
    return Path(arguments.data) / "kits19_labels" / "case_00127" / "segmentation.nii.gz"


def ct_grid(arguments: argparse.Namespace) -> Native:
    label_map, native_mm = read_ct(ct_file(arguments))
    return list(label_map.shape), native_mm


def ct_placement(native: Sequence[int], native_mm: Sequence[float], spacing_mm: Sequence[float]) -> Placement:
    """Where an image at that spacing lies on the CT, of which nothing is cut away."""
    z, y, x = native
    z_mm, y_mm, x_mm = native_mm
    settings = {"spacing_mm": spacing_mm, "normalisation": [{"kind": "none"}]}
    return place(plain_grid((z, y, x), (z_mm, y_mm, x_mm)), Preprocessing.model_validate(settings))


def logits_shape(settings: dict[str, Any]) -> tuple[int, ...]:
    return ct_placement(settings["native"], settings["native_mm"], settings["spacing_mm"]).shape


def make_labels(outputs: int) -> Labels:
    return Labels(values={"background": 0, **{f"label {value}": value for value in range(1, outputs)}})


def simulated_logits(arguments: argparse.Namespace) -> Path:
    """The file of them, made once."""
    target: Path = arguments.workspace / f"logits_{FEW}_{arguments.fine:g}mm.npy"
    if not target.exists():
        making = target.with_suffix(".making.npy")
        spacing = [arguments.fine] * 3
        our_step(arguments, "simulate", source=str(ct_file(arguments)), spacing_mm=spacing, target=str(making))
        making.rename(target)
    return target


def read_rows(file: Path, rows: int) -> Iterator[torch.Tensor]:
    """Logits (channels, rows, y, x) of a .npy file, one channel after the other, without mapping it into memory."""
    mapped = np.load(file, mmap_mode="r")
    (channels, count, y, x), start = mapped.shape, mapped.offset
    buffer = np.empty((channels, rows, y, x), dtype=np.float32)
    with file.open("rb") as opened:
        for first in range(0, count, rows):
            here = min(rows, count - first)
            for channel in range(channels):
                opened.seek(start + buffer.itemsize * y * x * (channel * count + first))
                opened.readinto(memoryview(buffer[channel, :here]).cast("B"))
            yield torch.from_numpy(buffer[:, :here])


def noise_rows(outputs: int, shape: Sequence[int], rows: int) -> Iterator[torch.Tensor]:
    """Logits (outputs, rows, y, x): every channel of every row is one of a pool of smooth planes with noise.

    No two channels of a row are the same plane, as `PLANES` is prime and larger than their number.
    """
    generator = torch.Generator().manual_seed(SEED)
    coarse = torch.randn((PLANES, 1, 2 + shape[1] // 16, 2 + shape[2] // 16), generator=generator)
    planes = functional.interpolate(coarse, tuple(shape[1:]), mode="bilinear")[:, 0]
    planes += torch.randn(planes.shape, generator=generator).mul_(0.3)
    channels = torch.arange(outputs)[:, None]
    for first in range(0, shape[0], rows):
        here = torch.arange(first, min(first + rows, shape[0]))
        yield planes[(31 * channels + 7 * here) % PLANES]


def write_tiny_model(folder: Path) -> None:
    """A small network with fresh weights, for a CT at 0.8 mm."""
    stage = {
        "dimensions": 3,
        "preprocessing": {
            "spacing_mm": [0.8] * 3,
            "normalisation": [{"kind": "ct", "lower": -1000, "upper": 500, "mean": 0, "std": 400}],
        },
        "network": {
            "kind": "plain_unet",
            "features": [4, 8],
            "kernels": [[3] * 3] * 2,
            "strides": [[1] * 3, [2] * 3],
            "encoder_convolutions": [1, 1],
            "decoder_convolutions": [1],
        },
        "sampling": {"patch_size": [128] * 3, "batch_size": 2},
        "augmentation": [],
        "loss": [{"kind": "cross_entropy"}],
        "inference": {"mirror_axes": [], "overlap": 0.0},  # the network is not what is measured
    }
    stages = {STAGE: Stage.model_validate(stage)}
    described = Description(name="large", channels=("CT",), labels=make_labels(FEW))
    plan = Plan(name="tiny", dataset=described, budget=Budget(), stages=stages)
    network = build_network(stages[STAGE].network, 1, FEW, SEED)
    model = Model(plan=plan, stage=STAGE, fold=0, training_cases=(), validation_cases=(), trained={})
    write_model(folder, model, network.state_dict())


# --- A model of ours as nnU-Net has it. ---


def write_nnunet_model(model: Model, fold: Path, folder: Path) -> None:
    """dataset.json, plans.json and a checkpoint of the same network with the same weights."""
    stage, dataset = model.plan.stages[model.stage], model.plan.dataset
    wanted = stage.preprocessing.orientation
    if stage.network.kind != "plain_unet" or wanted not in (None, NATIVE) or dataset.labels.regions:
        raise SystemExit(f"{fold}: only a plain U-Net for classes, which turns no image, is written for nnU-Net")
    (folder / "fold_0").mkdir(parents=True, exist_ok=True)
    described = {
        "channel_names": {str(number): name for number, name in enumerate(dataset.channels)},
        "labels": dataset.labels.values,
        "numTraining": len(model.training_cases),
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(described))
    (folder / "plans.json").write_text(json.dumps(plans_of_nnunet(stage.preprocessing.spacing_mm, stage)))
    weights = {theirs: tensor for name, tensor in read_weights(fold).items() for theirs in names_in_nnunet(name)}
    checkpoint = {
        "network_weights": weights,
        "trainer_name": "nnUNetTrainer",
        "init_args": {"configuration": STAGE},
        "inference_allowed_mirroring_axes": tuple(stage.inference.mirror_axes) or None,
    }
    torch.save(checkpoint, folder / "fold_0" / "checkpoint_final.pth")


def plans_of_nnunet(spacing_mm: Sequence[float], stage: Stage | None = None) -> dict[str, Any]:
    """The part of nnU-Net's plans that prediction reads; without a stage, what turning logits into labels reads."""
    configuration: dict[str, Any] = {"spacing": list(spacing_mm), "preprocessor_name": "DefaultPreprocessor"}
    for what, order in {"data": 3, "seg": 1, "probabilities": 1}.items():
        configuration[f"resampling_fn_{what}"] = RESAMPLING
        settings = {"is_seg": what == "seg", "order": order, "order_z": 0, "force_separate_z": None}
        configuration[f"resampling_fn_{what}_kwargs"] = settings
    configuration |= {"architecture": {}} if stage is None else network_of_nnunet(stage)
    forward = [0, 1, 2] if stage is None else list(stage.preprocessing.axis_order)
    channels = 0 if stage is None else len(stage.preprocessing.normalisation)
    return {
        "dataset_name": "same",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": forward,
        "transpose_backward": [forward.index(axis) for axis in range(3)],
        "foreground_intensity_properties_per_channel": {str(number): {} for number in range(channels)},
        "configurations": {STAGE: configuration},
    }


def network_of_nnunet(stage: Stage) -> dict[str, Any]:
    """Patch, normalisation and network of a stage, as nnU-Net writes them."""
    network, axes = stage.network, stage.dimensions
    if any(kind.kind != "zscore" for kind in stage.preprocessing.normalisation):
        raise SystemExit("only z-scores, as hippocampus has them, are written for nnU-Net")
    architecture = {
        "n_stages": len(network.features),
        "features_per_stage": network.features,
        "conv_op": f"torch.nn.modules.conv.Conv{axes}d",
        "kernel_sizes": network.kernels,
        "strides": network.strides,
        "n_conv_per_stage": network.encoder_convolutions,
        "n_conv_per_stage_decoder": network.decoder_convolutions[::-1],
        "conv_bias": True,
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{axes}d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    return {
        "patch_size": stage.sampling.patch_size,
        "batch_size": stage.sampling.batch_size,
        "normalization_schemes": ["ZScoreNormalization" for _ in stage.preprocessing.normalisation],
        "use_mask_for_norm": [kind.inside_mask for kind in stage.preprocessing.normalisation],
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": architecture,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
    }


def names_in_nnunet(name: str) -> list[str]:
    """The names that a weight of ours has in a PlainConvUNet, which lists some of its modules several times.

    >>> names_in_nnunet("heads.2.bias")
    ['decoder.seg_layers.2.bias']
    >>> names_in_nnunet("decoder.0.1.0.weight")
    ['decoder.stages.0.convs.1.conv.weight', 'decoder.stages.0.convs.1.all_modules.0.weight']
    """
    part, *numbers, kind = name.split(".")
    if part in ("upsampling", "heads"):
        return [f"decoder.{'transpconvs' if part == 'upsampling' else 'seg_layers'}.{numbers[0]}.{kind}"]
    stage, convolution, module = numbers
    places = [f"decoder.stages.{stage}"]
    if part == "encoder":
        places = [f"encoder.stages.{stage}.0", f"decoder.encoder.stages.{stage}.0"]
    modules = [("conv", "norm")[int(module)], f"all_modules.{module}"]
    return [f"{at}.convs.{convolution}.{called}.{kind}" for at in places for called in modules]


# --- Results. ---


def row(figure: str, ours: str, theirs: str = "", ratio: str = "", asked: str = "") -> Figure:
    """A line of the table."""
    return {"figure": figure, "autoseg": ours, "nnU-Net": theirs, "ratio": ratio, "asked": asked}


def ratio(ours: dict[str, Any], theirs: dict[str, Any], key: str) -> tuple[str, str, str]:
    """Both sides' numbers and how many times less ours is, for a table."""
    show = gigabytes if key.endswith("bytes") else "{:.2f} s".format
    times, word = theirs[key] / ours[key], "less" if key.endswith("bytes") else "faster"
    return show(ours[key]), show(theirs[key]), f"{times:.1f}× {word}"


def write_part(arguments: argparse.Namespace, part: str, figures: list[Figure], measured: dict[str, Any]) -> None:
    """Adds a part to the results that are there."""
    arguments.output.mkdir(parents=True, exist_ok=True)
    file = arguments.output / "inference.json"
    parts = json.loads(file.read_text()) if file.exists() else {}
    found = {"machine": this_machine(), "rounds": arguments.rounds, "figures": figures, "measured": measured}
    if part != "large":
        found["nnunet"] = their_step(arguments, "version")
    parts[part] = found | ({"note": arguments.note} if arguments.note else {})
    parts = {name: parts[name] for name in PARTS if name in parts}
    file.write_text(json.dumps(parts, indent=1, ensure_ascii=False, default=str) + "\n")
    (arguments.output / "inference.md").write_text(report(parts))


def report(parts: dict[str, Any]) -> str:
    """The results as a page."""
    lines = [
        "# Prediction beside nnU-Net",
        "",
        "Every run in a process of its own, both sides in turns; times are medians, without imports and without making",
        "or reading the logits; memory is the peak of the resident set. GB are 10⁹ bytes.",
        "",
        "    python benchmarks/inference.py DATA",
    ]
    for name, part in parts.items():
        beside = part.get("nnunet", {})
        versions = f"; nnU-Net {beside['nnunetv2']} with torch {beside['torch']}" if beside else ""
        lines += ["", f"## {name}", "", f"{part['machine']}{versions}. {part.get('note', '')}".strip(), ""]
        lines += ["| figure | autoseg | nnU-Net | ratio | asked |", "|---|---|---|---|---|"]
        lines += ["| " + " | ".join(figure.values()) + " |" for figure in part["figures"]]
    return "\n".join(lines) + "\n"


def _times(sizes: Sequence[int]) -> str:
    return " × ".join(map(str, sizes))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:  # what the processes are started with
        print(json.dumps(STEPS[sys.argv[2]](**json.loads(sys.argv[3]))))
    else:
        main()
