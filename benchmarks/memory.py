"""Predicted against measured memory of a training step, on plans of every kind.

    python benchmarks/memory.py [--device cpu|cuda] [--plans NAME ...] [-o FOLDER]

Each plan is trained for three steps in a process of its own. On a CPU its memory is measured twice, neither time by
the code that predicts: as what torch's CPU allocator handed out, from the memory events of torch.profiler; and as
what the operating system saw, the peak of the resident set above what it was before the training (Linux), which
holds what the C library's heap did not give back as well. On a GPU the allocator's count is
torch.cuda.max_memory_allocated. Writes a table and the numbers to benchmarks/results/memory_DEVICE.{md,json}.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from autoseg.dataset import Description, Labels
from autoseg.inference.model import describe_machine
from autoseg.networks.devices import find_device
from autoseg.plan import Stage
from autoseg.training.augmentation import Batch
from autoseg.training.memory import training_bytes
from autoseg.training.step import make_learner, take_step

RESULTS = Path(__file__).resolve().parent / "results"
STEPS = 3
CLASSES = Description(
    name="made up", channels=("MR",), labels=Labels(values={"background": 0, "anterior": 1, "posterior": 2})
)
REGIONS = Description(
    name="made up",
    channels=("T1", "T1c", "T2", "FLAIR"),
    labels=Labels.model_validate(
        {
            "values": {"background": 0, "oedema": 1, "core": 2, "enhancing": 3},
            "regions": {
                "whole": {"values": [1, 2, 3], "paint": 1},
                "core": {"values": [2, 3], "paint": 2},
                "enhancing": {"values": [3], "paint": 3},
            },
        }
    ),
)
COLUMNS = {  # beside what the allocator says
    "resident": "resident set",
    "reserved": "reserved",
}
LARGE_BYTES = 0.5e9
RESIDUAL = {"kind": "residual_encoder_unet", "encoder": (1, 3, 4, 6), "decoder": 1}

# name: patch, stages, first features, batch, precision, and what else is unusual
SMALL: dict[str, dict[str, Any]] = {
    "3d plain, batch 1, float32": {"patch": (48, 48, 48), "stages": 4, "features": 16, "batch": 1},
    "3d plain, batch 2, bfloat16": {
        "patch": (64, 64, 64),
        "stages": 5,
        "features": 16,
        "batch": 2,
        "precision": "bfloat16",
    },
    "3d plain, batch 4, float32, AdamW": {
        "patch": (32, 40, 32),
        "stages": 4,
        "features": 16,
        "batch": 4,
        "optimizer": "adamw",
    },
    "3d plain, batch 9, bfloat16": {
        "patch": (40, 56, 40),
        "stages": 4,
        "features": 16,
        "batch": 9,
        "precision": "bfloat16",
    },
    "3d plain, batch 9, float32": {"patch": (32, 32, 32), "stages": 3, "features": 16, "batch": 9},
    "3d anisotropic, batch 2, float32": {
        "patch": (12, 64, 64),
        "stages": 4,
        "features": 16,
        "batch": 2,
        "flat": 2,
    },
    "3d plain, 4 channels, regions, batch 2, bfloat16": {
        "patch": (48, 48, 48),
        "stages": 4,
        "features": 16,
        "batch": 2,
        "precision": "bfloat16",
        "dataset": "regions",
    },
    "3d plain, no deep supervision, batch 3, float32": {
        "patch": (40, 40, 40),
        "stages": 3,
        "features": 16,
        "batch": 3,
        "deep_supervision": False,
    },
    "3d residual, batch 1, float32": {"patch": (48, 48, 48), "stages": 4, "features": 16, "batch": 1, **RESIDUAL},
    "3d residual, batch 2, bfloat16": {
        "patch": (48, 48, 48),
        "stages": 5,
        "features": 16,
        "batch": 2,
        "precision": "bfloat16",
        **RESIDUAL,
    },
    "2d plain, batch 9, float32": {"patch": (64, 64), "stages": 5, "features": 32, "batch": 9},
    "2d plain, batch 4, bfloat16": {
        "patch": (192, 160),
        "stages": 6,
        "features": 32,
        "batch": 4,
        "precision": "bfloat16",
    },
    "2d plain, batch 1, float32, mostly weights": {"patch": (64, 64), "stages": 5, "features": 32, "batch": 1},
    "2d plain, batch 1, bfloat16, AdamW, mostly weights": {
        "patch": (64, 64),
        "stages": 5,
        "features": 32,
        "batch": 1,
        "precision": "bfloat16",
        "optimizer": "adamw",
    },
    "2d residual, batch 6, float32": {"patch": (96, 96), "stages": 5, "features": 16, "batch": 6, **RESIDUAL},
    "3d plain, nnU-Net's for hippocampus, batch 9, bfloat16": {
        "patch": (40, 56, 40),
        "stages": 4,
        "features": 32,
        "batch": 9,
        "precision": "bfloat16",
    },
    "2d plain, batch 12, bfloat16": {
        "patch": (256, 256),
        "stages": 7,
        "features": 32,
        "batch": 12,
        "precision": "bfloat16",
    },
    "2d residual, batch 8, bfloat16": {
        "patch": (128, 128),
        "stages": 5,
        "features": 16,
        "batch": 8,
        "precision": "bfloat16",
        **RESIDUAL,
    },
}
LARGE: dict[str, dict[str, Any]] = {  # of the sizes that people train; for GPUs
    f"{name}, {precision}": {**sizes, "precision": precision}
    for name, sizes in {
        "3d plain, nnU-Net's for 8 GB": {"patch": (128, 128, 128), "stages": 6, "features": 32, "batch": 2},
        "3d residual L": {"patch": (160, 192, 160), "stages": 6, "features": 32, "batch": 2, **RESIDUAL},
        "2d plain": {"patch": (512, 512), "stages": 8, "features": 32, "batch": 12},
    }.items()
    for precision in ("float32", "bfloat16", "float16")
}
PLANS = SMALL | LARGE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--plans", nargs="+", choices=list(PLANS), default=None, help="some of them only")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    parser.add_argument("--measure", choices=list(PLANS), help=argparse.SUPPRESS)  # what the processes are started with
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, find_device(arguments.device))))
        return
    rows = []
    for name in arguments.plans or (SMALL if arguments.device == "cpu" else PLANS):
        rows.append(measured_apart(name, arguments.device))
        print(table_row(rows[-1]), flush=True)
    kind = arguments.device.partition(":")[0]
    arguments.output.mkdir(parents=True, exist_ok=True)
    record = {"machine": machine(kind), "steps": STEPS, "plans": rows}
    (arguments.output / f"memory_{kind}.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    (arguments.output / f"memory_{kind}.md").write_text(report(record, kind))


def measured_apart(name: str, device: str) -> dict[str, Any]:
    """What `measure` finds in a process of its own."""
    command = [sys.executable, __file__, "--device", device, "--measure", name]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    row: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return row


def measure(name: str, device: torch.device) -> dict[str, Any]:
    """Predicts a plan's peak and trains it; in bytes."""
    stage, dataset = make_stage(**PLANS[name])
    train(*make_stage(patch=(16,) * stage.dimensions, stages=2, features=4, batch=1), device)  # libraries are loaded
    predict = lambda: training_bytes(stage, dataset, device)  # noqa: E731
    predict()
    started = time.perf_counter()
    row: dict[str, Any] = {"plan": name, "predicted": predict(), "seconds": time.perf_counter() - started}
    if device.type == "cuda":
        return row | gpu_peak(stage, dataset, device)
    return row | {
        "resident": resident_peak(stage, dataset, device),
        "allocated": allocator_peak(stage, dataset, device),
    }


def allocator_peak(stage: Stage, dataset: Description, device: torch.device) -> int:
    """Most bytes that torch's CPU allocator had handed out, by the profiler's memory events."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        train(stage, dataset, device)
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = [event for event in json.loads(trace.read_text())["traceEvents"] if event["name"] == "[memory]"]
    live = peak = 0
    for event in sorted(events, key=lambda event: event["ts"]):
        live += event["args"]["Bytes"]
        peak = max(peak, live)
    return peak


def resident_peak(stage: Stage, dataset: Description, device: torch.device) -> int:
    """By how many bytes the resident set rose."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)  # so that what was freed before is not used again unseen
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from now on
    before = status("VmRSS")
    train(stage, dataset, device)
    return status("VmHWM") - before


def gpu_peak(stage: Stage, dataset: Description, device: torch.device) -> dict[str, int]:
    """Most bytes that were allocated on the GPU, and that its caching allocator reserved."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    train(stage, dataset, device)
    return {
        "allocated": torch.cuda.max_memory_allocated(device),
        "reserved": torch.cuda.max_memory_reserved(device),
    }


def train(stage: Stage, dataset: Description, device: torch.device) -> None:
    """A few steps on random data."""
    learner = make_learner(stage, len(dataset.channels), dataset.labels, device)
    size, patch = stage.sampling.batch_size, stage.sampling.patch_size
    classes = torch.randint(0, len(dataset.labels.classes), (size, *patch), dtype=torch.int16, device=device)
    batch = Batch(torch.randn((size, len(dataset.channels), *patch), device=device), classes)
    for _ in range(STEPS):
        take_step(learner, batch, 1e-4)


def make_stage(
    patch: tuple[int, ...],
    stages: int,
    features: int,
    batch: int,
    precision: str = "float32",
    optimizer: str = "sgd",
    kind: str = "plain_unet",
    encoder: tuple[int, ...] = (2,),
    decoder: int = 2,
    flat: int = 0,
    deep_supervision: bool = True,
    dataset: str = "classes",
) -> tuple[Stage, Description]:
    """A stage as the planner would make it; the first `flat` stages leave the first axis alone."""
    dimensions = len(patch)
    kernels, strides = [], []
    for level in range(stages):
        in_plane = dimensions == 3 and level < flat
        kernels.append((1, 3, 3) if in_plane else (3,) * dimensions)
        strides.append((1,) * dimensions if level == 0 else (1, 2, 2) if in_plane else (2,) * dimensions)
    counts = [encoder[min(level, len(encoder) - 1)] for level in range(stages)]
    description = REGIONS if dataset == "regions" else CLASSES
    network = {
        "kind": kind,
        "features": [min(features * 2**level, (512 if dimensions == 2 else 320)) for level in range(stages)],
        "kernels": kernels,
        "strides": strides,
        "encoder_convolutions" if kind == "plain_unet" else "encoder_blocks": counts,
        "decoder_convolutions": [decoder] * (stages - 1),
        "deep_supervision": deep_supervision,
    }
    data = {
        "dimensions": dimensions,
        "preprocessing": {
            "spacing_mm": [1.0] * dimensions,
            "normalisation": [{"kind": "zscore"}] * len(description.channels),
        },
        "network": network,
        "sampling": {"patch_size": patch, "batch_size": batch},
        "augmentation": [],
        "loss": [{"kind": "binary_cross_entropy" if dataset == "regions" else "cross_entropy"}, {"kind": "dice"}],
        "optimizer": {"kind": optimizer},
        "training": {"precision": precision},
    }
    return Stage.model_validate(data), description


def report(record: dict[str, Any], kind: str) -> str:
    """The results as a page."""
    rows = record["plans"]
    columns = [column for column in COLUMNS if any(column in row for row in rows)]
    lines = [
        f"# Memory of a training step, predicted and measured ({kind})",
        "",
        f"{record['machine']}. {STEPS} steps a plan, each plan in a process of its own. MB are 10⁶ bytes.",
        "",
        f"    python benchmarks/memory.py --device {kind}",
        "",
        f"Predicted over allocated: {_range([row['predicted'] / row['allocated'] for row in rows], '.3f')}. "
        + " ".join(_beyond(rows, column) for column in columns),
        "",
        "| plan | predicted, MB | allocated, MB | ratio | "
        + " | ".join(f"{COLUMNS[column]}, MB" for column in columns)
        + " | trace, s |",
        "|---|" + "---|" * (4 + len(columns)),
        *(table_row(row) for row in rows),
    ]
    return "\n".join(lines) + "\n"


def table_row(row: dict[str, Any]) -> str:
    """A plan's line in the table; MB."""
    numbers = [f"{row['predicted'] / 1e6:.1f}", f"{row['allocated'] / 1e6:.1f}"]
    numbers.append(f"{row['predicted'] / row['allocated']:.4f}")
    numbers += [f"{row[column] / 1e6:.1f}" for column in COLUMNS if column in row]
    return f"| {row['plan']} | " + " | ".join([*numbers, f"{row['seconds']:.2f}"]) + " |"


def _beyond(rows: list[dict[str, Any]], column: str) -> str:
    """How far a measure lies above the predictions, of all plans and of the larger ones."""
    found = [row for row in rows if column in row]
    extra = [(row[column] - row["predicted"]) / 1e6 for row in found]
    shares = [100 * (row[column] / row["predicted"] - 1) for row in found if row["predicted"] > LARGE_BYTES]
    text = f"The {COLUMNS[column]} was {_range(extra, '.0f')} MB above the prediction"
    return text + (f", {_range(shares, '.0f')} % of those of {LARGE_BYTES / 1e9:.1f} GB and more." if shares else ".")


def _range(numbers: list[float], form: str) -> str:
    return f"{min(numbers):{form}} to {max(numbers):{form}}"


def status(key: str) -> int:
    """Bytes that Linux gives under a key in the status of this process; 0 elsewhere."""
    file = Path("/proc/self/status")
    lines = file.read_text().splitlines() if file.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(key)), 0)


def machine(kind: str) -> str:
    """What the numbers were measured on."""
    found = describe_machine(find_device(kind))
    return f"{found['hardware']}, {found['threads']} threads, torch {found['torch']}, {time.strftime('%Y-%m-%d')}"


if __name__ == "__main__":
    main()
