from __future__ import annotations

import os
import sys

import pytest

from autoseg.memory import (
    available_memory_bytes,
    forget_peak,
    machine_memory_bytes,
    peak_memory_bytes,
    resident_memory_bytes,
)

MEMINFO = "MemTotal:       16000 kB\nMemAvailable:    9000 kB\n"
V2 = "0::/job/step\n"
V1 = "4:memory:/job\n"


@pytest.mark.parametrize(
    ("groups", "files", "available"),
    [
        pytest.param("", {}, 9000 * 1024, id="no limit: what the machine has to spare"),
        pytest.param(
            V2, {"job/step/memory.max": "max", "job/step/memory.current": "5"}, 9000 * 1024, id="version 2, no limit"
        ),
        pytest.param(
            V2, {"job/memory.max": "5000", "job/memory.current": "1500"}, 3500, id="version 2, the limit of a parent"
        ),
        pytest.param(
            V2,
            {
                "job/memory.max": "5000",
                "job/memory.current": "4500",
                "job/memory.stat": "anon 500\ninactive_file 3000\nactive_file 900\n",
            },
            3500,
            id="version 2, cached files are dropped when memory is wanted",
        ),
        pytest.param(V2, {"job/memory.max": "5000", "job/memory.current": "6000"}, 0, id="more than the limit"),
        pytest.param(
            V1,
            {
                "memory/job/memory.limit_in_bytes": "8000",
                "memory/job/memory.usage_in_bytes": "7000",
                "memory/job/memory.stat": "inactive_file 1\ntotal_inactive_file 2000\n",
            },
            3000,
            id="version 1",
        ),
        pytest.param(
            V2, {"job/memory.max": str(10**9), "job/memory.current": "1"}, 9000 * 1024, id="the machine has less"
        ),
    ],
)
def test_available_memory(groups, files, available, tmp_path):
    written = {f"sys/fs/cgroup/{name}": content for name, content in files.items()}
    for name, content in {**written, "proc/self/cgroup": groups, "proc/meminfo": MEMINFO}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert available_memory_bytes(tmp_path) == available


def test_a_system_that_says_nothing(tmp_path):
    assert available_memory_bytes(tmp_path) == machine_memory_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process its peak")
def test_the_peak_of_a_process():
    filled = bytearray(b"\1") * 100_000_000
    resident = resident_memory_bytes()
    assert peak_memory_bytes(os.getpid()) >= resident > len(filled)
    assert peak_memory_bytes(2**30) == 0  # no such process


def test_forgetting_a_peak(tmp_path):
    """5 is what Linux asks for (man 5 proc, /proc/pid/clear_refs); whether a container permits it, no test can say."""
    forget_peak(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "proc" / "self").mkdir(parents=True)
    forget_peak(tmp_path)
    assert (tmp_path / "proc" / "self" / "clear_refs").read_text() == "5"
