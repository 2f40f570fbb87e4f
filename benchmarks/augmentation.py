"""Augmentation alone, ours and nnU-Net's: seconds of one core a patch.

    python benchmarks/augmentation.py [--nnunet-python PYTHON] [--samples 240] [--kinds]

A patch of 128³ voxels, one channel and two labels, is varied as each side varies it by default: `make_batch` with the
transforms of a derived plan here, `nnUNetTrainer.get_training_transforms` there (batchgeneratorsv2), each with its own
draws. Each side is given the voxels it needs: nnU-Net a crop of 168³, ours what the drawn rotation and scaling reach
over. Reading is not counted; nor is that nnU-Net reads 2.3 times as many voxels. Neither side makes smaller labels for
deep supervision.

Each side runs in a process of its own with one thread, and its processor time is taken, which is the time on the clock
where nothing else runs. The two take turns of 10 patches, and what counts is the mean over all patches, for most get
few transforms and some get many; beside it stands the median over the turns of the ratio. --kinds adds each transform
of ours alone, always applied. Without a Python that has nnU-Net 2.8.1 only our side is measured. Writes
benchmarks/results/augmentation.{md,json}.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PATCH = (128, 128, 128)
NNUNET_CROP = (168, 168, 168)  # as nnU-Net's own rule says for this patch and turns of 30°
VOLUME = (320, 320, 320)
TURN = 10  # patches
WARM_UP = 30  # patches; nnU-Net tries out ways to blur in its first ones


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nnunet-python", type=Path, help="a Python that has nnU-Net 2.8.1")
    parser.add_argument("--samples", type=int, default=240, help="patches a side")
    parser.add_argument("--kinds", action="store_true", help="also each of our transforms alone")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results")
    parser.add_argument("--note", default="", help="a sentence for the results: what else ran on the machine")
    parser.add_argument("--side", choices=sorted(SIDES), help=argparse.SUPPRESS)  # what the processes are started with
    arguments = parser.parse_args()
    if arguments.side:
        serve(SIDES[arguments.side]())
        return
    pythons = {"autoseg": Path(sys.executable)}
    if arguments.nnunet_python:
        pythons["nnunet"] = arguments.nnunet_python.absolute()
    found = take_turns(pythons, arguments.samples)
    kinds = by_kind() if arguments.kinds else {}
    write_results(found, kinds, arguments)


def take_turns(pythons: dict[str, Path], samples: int) -> dict[str, list[float]]:
    """Seconds of each patch, for each side."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    processes = {
        side: subprocess.Popen(
            [python, __file__, "--side", side],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for side, python in pythons.items()
    }
    found: dict[str, list[float]] = {side: [] for side in pythons}
    for number in range(-(-WARM_UP // TURN), 0, -1):
        for process in processes.values():
            ask(process, -number * TURN)
    for first in range(0, samples, TURN):
        for side, process in processes.items():
            found[side] += ask(process, first)
    for process in processes.values():
        process.communicate("\n")
    return found


def ask(process: subprocess.Popen[str], first: int) -> list[float]:
    """A turn: the seconds of each of its patches."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(f"{first}\n")
    process.stdin.flush()
    line = process.stdout.readline()
    while line and not line.startswith("["):  # what a library prints
        line = process.stdout.readline()
    if not line:
        raise SystemExit(f"{process.args} ended")
    seconds: list[float] = json.loads(line)
    return seconds


def serve(seconds_of: Callable[[int], float]) -> None:
    """Answers turns, by the number of their first patch, until there is none."""
    for line in sys.stdin:
        if not line.strip():
            return
        first = int(line)
        print(json.dumps([seconds_of(number) for number in range(first, first + TURN)]), flush=True)


def scene() -> tuple[Any, Any]:
    """A volume with texture and noise, an organ of 4 % of the middle, and a lesion in it."""
    import numpy as np

    random = np.random.default_rng(0)
    z, y, x = (np.linspace(-1, 1, size, dtype=np.float32) for size in VOLUME)
    radius = np.sqrt((z[:, None, None] / 0.30) ** 2 + (y[:, None] / 0.22) ** 2 + (x / 0.26) ** 2)
    labels = (radius < 1).astype(np.int16)
    labels[(z[:, None, None] - 0.1) ** 2 + (y[:, None] - 0.1) ** 2 + x**2 < 0.08**2] = 2
    image = np.choose(labels, [-0.5, 1.0, 0.5]).astype(np.float32)
    image += 0.3 * random.standard_normal(VOLUME, dtype=np.float32)
    return image[None], labels


def middle_crop(array: Any, size: tuple[int, ...]) -> Any:
    """A copy of the middle of the last three axes."""
    box = tuple(slice((all_ - some) // 2, (all_ - some) // 2 + some) for all_, some in zip(VOLUME, size, strict=True))
    return array[(..., *box)].copy()


def with_autoseg() -> Callable[[int], float]:
    import numpy as np
    import torch

    from autoseg.planner.augmentation import augmentation
    from autoseg.training.augmentation import Sample, draw_affine, make_batch, source_extent

    torch.set_num_threads(1)
    image, labels = scene()
    transforms = augmentation(PATCH, (0, 1, 2)).value

    def seconds_of(number: int) -> float:
        drawing, varying = np.random.default_rng([1000 + number, 0]), np.random.default_rng([1000 + number, 1])
        started = time.process_time()
        matrix = draw_affine(transforms[0], 3, drawing)  # type: ignore[arg-type]
        drawn = time.process_time() - started
        extent = PATCH if matrix is None else source_extent(matrix, PATCH)
        centre = tuple((size - 1) / 2 for size in extent)
        sample = Sample(middle_crop(image, extent), middle_crop(labels, extent), matrix, centre)
        started = time.process_time()
        make_batch([sample], PATCH, transforms, [varying], torch.device("cpu"))
        return drawn + time.process_time() - started

    return seconds_of


def with_nnunet() -> Callable[[int], float]:
    import numpy as np
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    torch.set_num_threads(1)
    image, labels = (torch.from_numpy(middle_crop(array, NNUNET_CROP)) for array in scene())
    turn = (-np.pi / 6, np.pi / 6)
    transforms = nnUNetTrainer.get_training_transforms(
        PATCH, turn, None, (0, 1, 2), False, use_mask_for_norm=[False], is_cascaded=False, foreground_labels=[1, 2]
    )

    def seconds_of(number: int) -> float:
        np.random.seed(1000 + number)  # noqa: NPY002, it draws from these
        torch.manual_seed(1000 + number)
        given = {"image": image.clone(), "segmentation": labels[None].clone()}
        started = time.process_time()
        with torch.no_grad():
            transforms(**given)
        return time.process_time() - started

    return seconds_of


SIDES = {"autoseg": with_autoseg, "nnunet": with_nnunet}


def by_kind() -> dict[str, float]:
    """Seconds of each of our transforms, always applied: the median of 7."""
    import numpy as np
    import torch

    from autoseg.planner.augmentation import augmentation
    from autoseg.training.augmentation import Sample, draw_affine, make_batch, source_extent

    torch.set_num_threads(1)
    image, labels = scene()
    seconds = {}
    for name, transform in kinds_of(augmentation(PATCH, (0, 1, 2)).value):
        times = []
        for number in range(8):
            random = np.random.default_rng(number)
            matrix = draw_affine(transform, 3, random) if transform.kind == "spatial" else None
            extent = PATCH if matrix is None else source_extent(matrix, PATCH)
            centre = tuple((size - 1) / 2 for size in extent)
            sample = Sample(middle_crop(image, extent), middle_crop(labels, extent), matrix, centre)
            started = time.process_time()
            make_batch([sample], PATCH, (transform,), [random], torch.device("cpu"))
            times.append(time.process_time() - started)
        seconds[name] = statistics.median(times[1:])
    return seconds


def kinds_of(transforms: Any) -> Iterator[tuple[str, Any]]:
    """Each transform with all its probabilities at 1; rotation and scaling apart."""
    spatial, *others = transforms
    chances = {"rotation_probability": 1.0, "scale_probability": 0.0}
    yield "rotation", spatial.model_copy(update=chances)
    yield "scaling", spatial.model_copy(update={key: 1 - chance for key, chance in chances.items()})
    for one in others:
        sure = {name: 1.0 for name in type(one).model_fields if name.endswith("probability")}
        yield f"{one.kind}{', inverted' if getattr(one, 'inverted', False) else ''}", one.model_copy(update=sure)


def write_results(found: dict[str, list[float]], kinds: dict[str, float], arguments: argparse.Namespace) -> None:
    import torch

    from autoseg.inference.model import describe_machine

    machine = describe_machine(torch.device("cpu"))
    rows = [
        f"| {side} | {statistics.fmean(times):.4f} | {statistics.median(times):.4f} | {max(times):.3f} |"
        for side, times in found.items()
    ]
    lines = [
        "# Augmentation, autoseg and nnU-Net 2.8.1",
        "",
        f"Machine: {machine['hardware']}, one thread, Python {machine['python']}, torch {machine['torch']}, "
        f"{machine['date'][:10]}. {arguments.samples} patches of 128³ a side, in turns of {TURN}.",
        *([arguments.note] if arguments.note else []),
        "",
        "    python benchmarks/augmentation.py --nnunet-python PYTHON --kinds",
        "",
        "| | mean, s of one core a patch | median, s | longest, s |",
        "|---|---|---|---|",
        *rows,
    ]
    ratios = {}
    if "nnunet" in found:
        turns = range(0, arguments.samples, TURN)
        by_turn = [sum(found["nnunet"][at : at + TURN]) / sum(found["autoseg"][at : at + TURN]) for at in turns]
        ratios = {"mean": sum(found["nnunet"]) / sum(found["autoseg"]), "median_of_turns": statistics.median(by_turn)}
        lines += [
            "",
            f"nnU-Net takes **{ratios['mean']:.1f}×** as long on average; in the median of the turns "
            f"{ratios['median_of_turns']:.1f}×.",
        ]
    if kinds:
        lines += ["", "Each of our transforms alone, always applied:", "", "| transform | ms |", "|---|---|"]
        lines += [f"| {name} | {1e3 * seconds:.1f} |" for name, seconds in kinds.items()]
    print("\n".join(lines))
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "augmentation.md").write_text("\n".join(lines) + "\n")
    record = {"machine": machine, "note": arguments.note, "seconds": found, "ratios": ratios, "kinds": kinds}
    (arguments.output / "augmentation.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
