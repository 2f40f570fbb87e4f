"""Seconds to score a case by all measures, beside MONAI's surface metrics on the same maps.

    python benchmarks/evaluation.py [DATA] [--rounds 5] [-o FOLDER]

Made-up maps of 160×320×320 voxels of 3×0.8×0.8 mm with two labels, an organ and a tumour in it, predicted with a wavy
border: as they are; with 200 false specks all over the image, so that the box to measure is all of it; and two
kidneys instead, which fill less of their box. Processor seconds of one thread, median of the rounds. With DATA, a
folder that holds kits19_labels, its CT label maps are scored from their files as well, in as many processes as there
are cores, each against itself moved by a voxel. Writes benchmarks/results/evaluation.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from beside_nnunet import this_machine
from monai import metrics
from scipy import ndimage as ndi

from autoseg.dataset import Labels, read_label_map, write_label_map
from autoseg.evaluation import evaluate, measure_case
from autoseg.parallel import available_cores

SHAPE = (160, 320, 320)
SPACING_MM = (3.0, 0.8, 0.8)
TOLERANCE_MM = 2.0
LABELS = Labels(values={"background": 0, "organ": 1, "tumour": 2})
Result = TypeVar("Result")
RESULTS = Path(__file__).resolve().parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="the folder with kits19_labels")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [made_up_row(name, *maps, arguments.rounds) for name, maps in made_up().items()]
    lines = [
        "# Scoring a case",
        "",
        f"Machine: {this_machine()}; load average {os.getloadavg()[0]:.1f} meanwhile.",
        "",
        f"    python benchmarks/evaluation.py DATA --rounds {arguments.rounds}",
        "",
        f"All measures of two labels, {'×'.join(map(str, SHAPE))} voxels, arrays in memory; processor seconds of one "
        "thread, median of the rounds. MONAI computes Dice, HD95, average symmetric surface distance and surface Dice "
        "only.",
        "",
        "| maps | autoseg, s | MONAI, s | largest difference |",
        "|---|---|---|---|",
        *rows,
    ]
    if arguments.data:
        lines += ["", real(arguments.data / "kits19_labels")]
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "evaluation.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def made_up() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name → predicted and true map."""
    generator = np.random.default_rng(0)
    wave = ndi.gaussian_filter(generator.standard_normal(SHAPE).astype(np.float32), (2, 6, 6))
    wave /= wave.std() * 20
    organ, tumour = ellipsoid((0, 0, 0), (0.3, 0.3, 0.3)), ellipsoid((0.1, 0.1, 0), (0.1, 0.1, 0.1))
    kidneys = np.minimum(ellipsoid((0, 0, -0.25), (0.2, 0.12, 0.1)), ellipsoid((0, 0, 0.25), (0.2, 0.12, 0.1)))
    speckled = paint(organ + wave, tumour + wave)
    speckled.reshape(-1)[generator.integers(0, speckled.size, 200)] = 1
    small = ellipsoid((0, 0, 0.25), (0.08, 0.06, 0.05))
    return {
        "organ, tumour": (paint(organ + wave, tumour + wave), paint(organ, tumour)),
        "organ, tumour, specks": (speckled, paint(organ, tumour)),
        "two kidneys, tumour": (paint(kidneys + wave, small + wave), paint(kidneys, small)),
    }


def ellipsoid(centre: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
    """Below 1 inside; centre from the middle and radii as fractions of the image."""
    axes = np.ogrid[tuple(slice(-0.5, 0.5, size * 1j) for size in SHAPE)]
    squares = [((axis - middle) / radius) ** 2 for axis, middle, radius in zip(axes, centre, radii, strict=True)]
    return np.sqrt(sum(squares)).astype(np.float32)


def paint(organ: np.ndarray, tumour: np.ndarray) -> np.ndarray:
    return np.where(tumour < 1, 2, organ < 1).astype(np.uint8)


def made_up_row(name: str, prediction: np.ndarray, reference: np.ndarray, rounds: int) -> str:
    ours, theirs = [], []
    for _ in range(rounds):  # in turn, so that what else the machine does falls on both
        seconds, measured = timed(
            lambda: measure_case(prediction, reference, LABELS, LABELS.targets, SPACING_MM, TOLERANCE_MM),
            time.process_time,
        )
        ours.append(seconds)
        seconds, expected = timed(lambda: by_monai(prediction, reference), time.process_time)
        theirs.append(seconds)
    difference = max(abs(getattr(measured[target], measure) - value) for (target, measure), value in expected.items())
    return f"| {name} | {statistics.median(ours):.2f} | {statistics.median(theirs):.2f} | {difference:.1g} |"


def by_monai(prediction: np.ndarray, reference: np.ndarray) -> dict[tuple[str, str], float]:
    found = {}
    for target, (value,) in LABELS.targets.items():
        masks = [torch.from_numpy((label_map == value)[None, None]).float() for label_map in (prediction, reference)]
        given = {"include_background": True, "spacing": SPACING_MM}
        found[target, "dice"] = metrics.compute_dice(*masks, include_background=True).item()
        found[target, "hd95_mm"] = metrics.compute_hausdorff_distance(*masks, percentile=95, **given).item()
        found[target, "assd_mm"] = metrics.compute_average_surface_distance(*masks, symmetric=True, **given).item()
        limits = {"class_thresholds": [TOLERANCE_MM]}
        found[target, "surface_dice"] = metrics.compute_surface_dice(*masks, **limits, **given).item()
    return found


def timed(function: Callable[[], Result], clock: Callable[[], float]) -> tuple[float, Result]:
    started = clock()
    result = function()
    return clock() - started, result


def real(folder: Path) -> str:
    """A sentence on CT label maps scored from files."""
    labels = Labels(values={"background": 0, "kidney": 1, "tumour": 2})
    references = {case.name: case / "segmentation.nii.gz" for case in sorted(folder.glob("case_*"))}
    voxels = 0
    with tempfile.TemporaryDirectory() as temporary:
        for name, path in references.items():
            label_map, grid = read_label_map(path)
            write_label_map(Path(temporary) / f"{name}.nii.gz", np.roll(label_map, (1, 1), (1, 2)), grid)
            voxels += label_map.size
        seconds, scores = timed(lambda: evaluate(temporary, references, labels), time.perf_counter)
    count = len(references)
    return (
        f"{count} CT label maps of KiTS19, {voxels / count / 1e6:.0f} million voxels on average, from their files: "
        f"{seconds:.1f} s on the clock in {min(count, available_cores())} processes, {seconds / count:.2f} s a case; "
        f"surface Dice {scores.means()['kidney']['surface_dice'].mean:.3f} of kidneys moved by a voxel along y and x."
    )


if __name__ == "__main__":
    main()
