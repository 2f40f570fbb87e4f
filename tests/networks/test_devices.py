"""Devices as they are, and as they are not, on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from autoseg.errors import AutosegError
from autoseg.networks import devices
from autoseg.networks.devices import autocast, best_precision, computing_type, find_device, memory_gb

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda"), torch.device("mps")
MEMORY = Path("/proc/meminfo")


@pytest.fixture
def machine(monkeypatch):
    """Pretends that there are GPUs."""

    def pretend(cuda=0, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(
    ("there", "name", "found"),
    [
        ({}, "cpu", CPU),
        ({}, "auto", CPU),
        ({}, "cpu:0", torch.device("cpu", 0)),
        ({"cuda": 1}, "auto", CUDA),
        ({"cuda": 1}, "cpu", CPU),
        ({"cuda": 1}, "cuda:0", torch.device("cuda", 0)),
        ({"cuda": 3}, "cuda:2", torch.device("cuda", 2)),
        ({"mps": True}, "auto", MPS),
        ({"cuda": 1, "mps": True}, "auto", CUDA),
    ],
)
def test_find_device(machine, there, name, found):
    machine(**there)
    assert find_device(name) == found


@pytest.mark.parametrize(
    ("there", "name", "message"),
    [
        ({}, "cuda", "device 'cuda' is not to be had on this machine. There is: cpu (or auto)."),
        ({"mps": True}, "cuda:1", "device 'cuda:1' is not to be had on this machine. There is: cpu, mps (or auto)."),
        ({"cuda": 1}, "gpu", "device 'gpu' is not to be had on this machine. There is: cpu, cuda (or auto)."),
        ({"cuda": 1}, "cuda:x", "device 'cuda:x' is not to be had on this machine. There is: cpu, cuda (or auto)."),
        ({"cuda": 1}, "cuda:", "device 'cuda:' is not to be had on this machine. There is: cpu, cuda (or auto)."),
        (
            {"cuda": 4},
            "cuda:9",
            "device 'cuda:9' is not to be had on this machine. There is: cpu, cuda:0 to cuda:3 (or auto).",
        ),
        ({}, "cpu:3", "device 'cpu:3' is not to be had on this machine. There is: cpu (or auto)."),
        ({}, "", "device '' is not to be had on this machine. There is: cpu (or auto)."),
    ],
)
def test_a_device_that_is_not_there(machine, there, name, message):
    machine(**there)
    with pytest.raises(AutosegError) as refused:
        find_device(name)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("device", "in_hardware", "precision"),
    [
        (CPU, True, "bfloat16"),
        (CPU, False, "float32"),
        (CUDA, True, "bfloat16"),
        (CUDA, False, "float16"),
        (MPS, False, "float32"),
    ],
)
def test_best_precision(monkeypatch, device, in_hardware, precision):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: in_hardware)
    monkeypatch.setattr(devices, "_cpu_computes_bfloat16", lambda: in_hardware)
    assert best_precision(device) == precision


@pytest.mark.parametrize(
    ("precision", "in_hardware", "dtype"),
    [
        ("float32", True, torch.float32),
        ("bfloat16", True, torch.bfloat16),
        ("bfloat16", False, torch.float32),  # which torch would emulate, slower than float32
        ("float16", True, torch.float32),  # which a CPU would compute slowly, and without a scaler
    ],
)
def test_autocast_on_a_cpu(monkeypatch, precision, in_hardware, dtype):
    monkeypatch.setattr(devices, "_cpu_computes_bfloat16", lambda: in_hardware)
    ones = torch.ones(2, 2)
    with autocast(CPU, precision):
        assert (ones @ ones).dtype == dtype
    assert (ones @ ones).dtype == torch.float32


@pytest.mark.parametrize(
    ("device", "precision", "in_hardware", "dtype"),
    [
        (CPU, "bfloat16", True, torch.bfloat16),
        (CPU, "bfloat16", False, torch.float32),
        (CPU, "float16", True, torch.float32),
        (CPU, "float32", True, torch.float32),
        (CUDA, "float16", False, torch.float16),  # a GPU that is not here is taken to have what the plan says
        (CUDA, "bfloat16", False, torch.bfloat16),
        (CUDA, "float32", False, torch.float32),
        (MPS, "bfloat16", True, torch.float32),
        (MPS, "float16", True, torch.float32),
    ],
)
def test_computing_type(machine, monkeypatch, device, precision, in_hardware, dtype):
    machine()
    monkeypatch.setattr(devices, "_cpu_computes_bfloat16", lambda: in_hardware)
    assert computing_type(device, precision) == dtype


@pytest.mark.skipif(not MEMORY.exists(), reason="only Linux lists its memory in a file")
def test_memory_of_a_cpu_is_half_of_the_machine():
    total_kib = int(MEMORY.read_text().splitlines()[0].split()[1])  # MemTotal: 16384 kB
    assert memory_gb(CPU) == pytest.approx(total_kib * 1024 / 2e9, rel=0.01)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize(("precision", "dtype"), [("bfloat16", torch.bfloat16), ("float16", torch.float16)])
def test_autocast_on_a_gpu(precision, dtype):
    ones = torch.ones(2, 2, device="cuda")
    with autocast(find_device("cuda"), precision):
        assert (ones @ ones).dtype == dtype
