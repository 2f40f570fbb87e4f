"""Devices as they are, and as they are not, on this machine."""

from __future__ import annotations

import math
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from autoseg.errors import AutosegError
from autoseg.networks import devices
from autoseg.networks.devices import (
    all_memory_gb,
    autocast,
    best_precision,
    computing_type,
    find_device,
    made_current,
    memory_gb,
    memory_limit_bytes,
    resolve_device,
    wait_for,
)

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
    ("there", "name", "kind", "found"),
    [
        ({}, None, "cpu", CPU),
        ({}, "auto", "cpu", CPU),
        ({}, "cpu:0", "cpu", torch.device("cpu", 0)),
        ({}, "cuda", "cuda", None),  # planned for here, trained elsewhere
        ({"cuda": 1}, "mps", "mps", None),
        ({"cuda": 2}, None, "cuda", CUDA),
        ({"cuda": 2}, "cuda", "cuda", CUDA),
        ({"cuda": 2}, "cuda:1", "cuda", torch.device("cuda", 1)),
        ({"mps": True}, "auto", "mps", MPS),
    ],
)
def test_the_kind_of_a_device_and_the_device(machine, there, name, kind, found):
    machine(**there)
    assert resolve_device(name) == (kind, found)


@pytest.mark.parametrize(("there", "name"), [({}, "cuda:1"), ({"cuda": 2}, "cuda:2"), ({}, "tpu"), ({}, "cuda:x")])
def test_a_number_names_a_device_of_this_machine(machine, there, name):
    machine(**there)
    with pytest.raises(AutosegError, match=f"^device '{name}' is not to be had on this machine. There is: cpu"):
        resolve_device(name)


@pytest.mark.parametrize(
    ("device", "numbers"), [(torch.device("cuda", 1), [1]), (CUDA, []), (CPU, []), (MPS, []), (None, [])]
)
def test_a_gpu_that_has_a_number_is_made_current(monkeypatch, device, numbers):
    made = []

    def current(device):
        made.append(device.index)
        return nullcontext()

    monkeypatch.setattr(torch.cuda, "device", current)
    with made_current(device):
        assert made == numbers


def test_each_gpu_is_asked_for_itself(machine, monkeypatch):
    """The second computes in bfloat16, the first does not: what counts is the one that is trained on."""
    machine(cuda=2)
    asked = [0]

    class Current(nullcontext):
        def __init__(self, device):
            super().__init__()
            asked[0] = device.index

    monkeypatch.setattr(torch.cuda, "device", Current)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: asked[0] == 1)
    assert best_precision(torch.device("cuda", 1)) == "bfloat16"
    assert best_precision(torch.device("cuda", 0)) == "float16"


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


@pytest.mark.parametrize(
    ("precision", "in_hardware", "dtype"),
    [
        ("bfloat16", True, torch.bfloat16),
        ("bfloat16", False, torch.float16),  # as fast there, where float32 is several times slower
        ("float16", True, torch.float16),
        ("float16", False, torch.float16),
        ("float32", True, torch.float32),
        ("float32", False, torch.float32),
    ],
)
def test_computing_type_of_a_gpu_that_is_here(machine, monkeypatch, precision, in_hardware, dtype):
    machine(cuda=1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: in_hardware)
    assert computing_type(CUDA, precision) == dtype


@pytest.mark.parametrize(
    ("device", "waited"), [(CPU, []), (torch.device("cuda:1"), [torch.device("cuda:1")]), (MPS, ["mps"])]
)
def test_waiting_is_for_the_device_that_was_asked(monkeypatch, device, waited):
    found = []
    monkeypatch.setattr(torch.cuda, "synchronize", found.append)
    monkeypatch.setattr(torch.mps, "synchronize", lambda: found.append("mps"))
    wait_for(device)
    assert found == waited


def test_memory_of_a_gpu_is_all_but_a_gigabyte(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=12.5e9))
    assert (memory_gb(CUDA), all_memory_gb(CUDA)) == (11.5, 12.5)


@pytest.mark.skipif(not MEMORY.exists(), reason="only Linux lists its memory in a file")
def test_memory_of_a_cpu_is_half_of_the_machine(monkeypatch):
    monkeypatch.setattr(devices, "memory_limit_bytes", lambda: math.inf)
    total_kib = int(MEMORY.read_text().splitlines()[0].split()[1])  # MemTotal: 16384 kB
    assert memory_gb(CPU) == pytest.approx(total_kib * 1024 / 2e9, rel=0.01)
    monkeypatch.setattr(devices, "memory_limit_bytes", lambda: 1e9)
    assert memory_gb(CPU) == 0.5


@pytest.mark.parametrize(
    ("groups", "files", "limit"),
    [
        pytest.param(None, {}, math.inf, id="no control groups"),
        pytest.param("0::/\n", {"memory.max": "4000\n"}, 4000, id="version 2, a container that sees only itself"),
        pytest.param("0::/\n", {"memory.max": "max\n"}, math.inf, id="version 2, no limit"),
        pytest.param("0::/\n", {}, math.inf, id="version 2, the root of the machine has no such file"),
        pytest.param(
            "0::/slurm/job_7/step_0\n",
            {"slurm/job_7/memory.max": "3000", "slurm/job_7/step_0/memory.max": "max", "slurm/memory.max": "9000"},
            3000,
            id="version 2, a limit of the job holds for its steps",
        ),
        pytest.param(
            "0::/slurm/job_7\n", {"slurm/job_8/memory.max": "3000"}, math.inf, id="version 2, a limit of another job"
        ),
        pytest.param(
            "3:cpu,cpuacct:/a\n2:memory:/a/b\n1:name=systemd:/c\n",
            {
                "memory/a/b/memory.limit_in_bytes": "5000",
                "memory/a/memory.limit_in_bytes": "6000",
                "memory/memory.limit_in_bytes": "9223372036854771712",  # the largest there is: no limit
                "memory/c/memory.limit_in_bytes": "1",
            },
            5000,
            id="version 1",
        ),
        pytest.param(
            "2:hugetlb,memory:/docker/1f\n",
            {"memory/memory.limit_in_bytes": "7000"},
            7000,
            id="version 1, a container whose path is the machine's",
        ),
        pytest.param(
            "4:memory:/a\n0::/\n",
            {"memory/a/memory.limit_in_bytes": "8000", "unified/memory.max": "1"},
            8000,
            id="both versions, memory by the first",
        ),
    ],
)
def test_the_limit_of_a_container_or_a_job(tmp_path, groups, files, limit):
    written = {f"sys/fs/cgroup/{name}": content for name, content in files.items()}
    for name, content in written.items() if groups is None else {**written, "proc/self/cgroup": groups}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert memory_limit_bytes(tmp_path) == limit


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize(("precision", "dtype"), [("bfloat16", torch.bfloat16), ("float16", torch.float16)])
def test_autocast_on_a_gpu(precision, dtype):
    ones = torch.ones(2, 2, device="cuda")
    with autocast(find_device("cuda"), precision):
        assert (ones @ ones).dtype == dtype
