"""What the machine can compute on, and in which precision.

Comes in: a device's name, or "auto". Goes out: a torch device, the precision that pays there,
and the autocast context that applies it.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import Literal

import torch

from autoseg.errors import AutosegError

Precision = Literal["float32", "bfloat16", "float16"]
DEVICES = ("auto", "cpu", "cuda", "mps")


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


def best_precision(device: torch.device) -> Precision:
    """The fastest precision that trains well: bfloat16 where the hardware computes in it, else float16 on CUDA."""
    if _computes_bfloat16(device):
        return "bfloat16"
    return "float16" if device.type == "cuda" else "float32"


def computing_type(device: torch.device, precision: Precision) -> torch.dtype:
    """What a network computes in: float32 where the device lacks `precision`, or would only emulate it.

    A GPU that is not in this machine is taken to have it: the plan for it says so.
    """
    if precision == "float32" or not _computes(device, precision):
        return torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float16


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Computes in `precision` inside; in float32 where the device lacks it, or would only emulate it."""
    return autocast_to(device, computing_type(device, precision))


def autocast_to(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Computes in `dtype` inside, whether or not the device is good at it; float32 changes nothing."""
    runs = dtype != torch.float32
    return torch.autocast(device.type, dtype=dtype if runs else torch.bfloat16, enabled=runs)


def memory_gb(device: torch.device) -> float:
    """Memory of a device for training, GB: all of a GPU's, half of the machine's for a CPU."""
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory) / 1e9
    return _machine_memory_gb() / 2


def _machine_memory_gb() -> float:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return 16.0


def _computes(device: torch.device, precision: Precision) -> bool:
    if device.type == "cuda" and not torch.cuda.is_available():
        return True
    return _computes_bfloat16(device) if precision == "bfloat16" else device.type == "cuda"


def _computes_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and _cpu_computes_bfloat16()


def _cpu_computes_bfloat16() -> bool:
    """Whether the processor has bfloat16 instructions; torch runs it without them, but slower than float32."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
