"""What the machine can compute on, and in which precision.

Comes in: a device's name, or "auto". Goes out: a torch device, its memory, the precision that pays
there, and the autocast context that applies it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch

from autoseg.errors import AutosegError
from autoseg.memory import GIGABYTE, machine_memory_bytes, memory_limit_bytes
from autoseg.plan.plan import Device
from autoseg.plan.training import Precision

DRIVER_GB = 1.0  # of a GPU's memory, for its driver and what libraries keep there; an estimate, nobody measured it
MANY_FEATURES = 32  # from which a training on a CPU has channels last
DEVICES = ("auto", "cpu", "cuda", "mps")
TYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def find_device(name: str = "auto") -> torch.device:
    """The device of that name, "cuda:1" for the second GPU; "auto" takes a GPU where there is one.

    Raises:
        AutosegError: no such device on this machine.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    counts = {"cpu": 1, "cuda": gpus, "mps": int(torch.backends.mps.is_available())}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if counts[kind]))
    names = {kind: [kind, *(f"{kind}:{number}" for number in range(count))] for kind, count in counts.items() if count}
    if not any(name in known for known in names.values()):
        here = ", ".join(kind if counts[kind] == 1 else f"{kind}:0 to {known[-1]}" for kind, known in names.items())
        raise AutosegError(f"device '{name}' is not to be had on this machine. There is: {here} (or auto).")
    return torch.device(name)


def resolve_device(name: str | None) -> tuple[Device, torch.device | None]:
    """The kind of a device, which a plan is made for, and the device itself, None where this machine has none.

    Args:
        name: a kind may be planned for where there is none of it. A number, "cuda:1", names a device of this machine;
            "auto" or None takes the best it has.

    Raises:
        AutosegError: no such kind, or no device of that number on this machine.
    """
    try:
        device = find_device(name or "auto")
    except AutosegError:
        if name not in ("cuda", "mps"):
            raise
        return cast(Device, name), None
    return cast(Device, device.type), device


def made_current(device: torch.device | None) -> AbstractContextManager[object]:
    """Inside, a GPU that has a number is what "cuda" means; other devices need no telling."""
    if device is not None and device.type == "cuda" and device.index is not None:
        return torch.cuda.device(device)
    return nullcontext()


def best_precision(device: torch.device) -> Precision:
    """The fastest precision that trains well: bfloat16 where the hardware computes in it, else float16 on CUDA."""
    if _computes_bfloat16(device):
        return "bfloat16"
    return "float16" if device.type == "cuda" else "float32"


def computing_type(device: torch.device, precision: Precision) -> torch.dtype:
    """What a network computes in for a plan that says `precision`.

    A GPU without bfloat16 computes in float16; any other device that lacks a type, or would only emulate it, in
    float32. A GPU that is not in this machine is taken to have what the plan for it says.
    """
    if device.type == "cuda" and precision == "bfloat16" and torch.cuda.is_available():
        precision = best_precision(device)
    usable = device.type == "cuda" or precision == best_precision(device)
    return TYPES[precision if usable else "float32"]


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Computes in `precision` inside, or in what stands in for it on the device; see `computing_type`."""
    return autocast_to(device, computing_type(device, precision))


def autocast_to(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Computes in `dtype` inside, whether or not the device is good at it; float32 changes nothing."""
    runs = dtype != torch.float32
    return torch.autocast(device.type, dtype=dtype if runs else torch.bfloat16, enabled=runs)


def prediction_format(device: torch.device, dimensions: int) -> torch.memory_format:
    """How weights lie in memory where a network only predicts; features follow them.

    On a CPU volumes are convolved without copies where channels lie last: 1.2 to 2 times as fast, as measured for
    U-Nets of 16 and 32 features in float32 and bfloat16. For slices it was up to 4 times as slow
    (benchmarks/choices.py).
    """
    last = device.type == "cpu" and dimensions == 3
    return torch.channels_last_3d if last else torch.contiguous_format


def training_format(device: torch.device, dimensions: int, features: int) -> torch.memory_format:
    """How weights lie in memory where a network is trained; features follow them.

    On a CPU steps of a 3-D U-Net that begins with 32 features took two thirds of the time where channels lie last; with
    16, where the convolutions are cheap, they took more in bfloat16 (benchmarks/choices.py).

    Args:
        device: where.
        dimensions: of the stage.
        features: of the network's first level.
    """
    last = device.type == "cpu" and dimensions == 3 and features >= MANY_FEATURES
    return torch.channels_last_3d if last else torch.contiguous_format


def wait_for(device: torch.device) -> None:
    """For a GPU to finish what it was asked, which it does in its own time."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def memory_gb(device: torch.device) -> float:
    """Memory of a device for training, GB: a GPU's but for its driver's share; half of what this process may take."""
    return all_memory_gb(device) - DRIVER_GB if device.type == "cuda" else all_memory_gb(device) / 2


def all_memory_gb(device: torch.device) -> float:
    """Memory of a device, GB: all of a GPU's, all that this process may take of the machine's."""
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory) / GIGABYTE
    return min(machine_memory_bytes(), memory_limit_bytes()) / GIGABYTE


def _computes_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        with made_current(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and _cpu_computes_bfloat16()


def _cpu_computes_bfloat16() -> bool:
    """Whether the processor has bfloat16 instructions; torch runs it without them, but slower than float32."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
