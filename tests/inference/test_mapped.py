from __future__ import annotations

import errno
import os
import subprocess
import sys

import numpy as np
import pytest

from autoseg.errors import AutosegError
from autoseg.inference.mapped import mapped_array, release

SHAPE = (40, 512, 512)  # 42 MB


def test_what_is_written_is_there_when_its_memory_was_let_go(tmp_path):
    with mapped_array(tmp_path, SHAPE) as array:
        assert array.dtype == np.float32 and array.shape == SHAPE and not array.any()
        array[::3] = 5
        release(array)
        assert (array[::3] == 5).all() and not array[1::3].any()
        assert list(tmp_path.iterdir()) == []  # the file has no name


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how much memory is held")
def test_only_what_is_touched_is_in_memory(tmp_path):
    """In a process of its own, for what others hold does not count then."""
    program = f"""
import numpy as np
from pathlib import Path
from autoseg.inference.mapped import mapped_array, release
from autoseg.memory import resident_memory_bytes
with mapped_array(Path({str(tmp_path)!r}), {SHAPE}) as array:
    array[0, 0, 0] = 1
    before = resident_memory_bytes()
    array[:] = 1
    full = resident_memory_bytes()
    release(array)
    print(full - before, resident_memory_bytes() - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    full, released = map(int, done.stdout.split())
    assert full > 40e6 and released < 2e6


def test_an_ordinary_array_stays_as_it_is():
    array = np.ones(5, dtype=np.float32)
    release(array)
    assert (array == 1).all()


def test_a_disk_that_is_too_small(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(AutosegError) as raised, mapped_array(tmp_path, (1000, 1000, 500)):
        pass
    assert str(raised.value) == (
        f"{tmp_path}: no room for 2.0 GB that do not fit the memory (No space left on device). Make room there, or "
        "give another output folder."
    )
