"""A second process is refused, a process that was killed refuses nobody."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys

import pytest

from autoseg.alone import LOCK, alone_in
from autoseg.errors import AutosegError

if sys.platform == "win32":
    pytest.skip("there are no such locks", allow_module_level=True)

HOLD = """
import os, sys, time
from pathlib import Path
from autoseg.alone import alone_in
with alone_in(Path(sys.argv[1]), "", ""):
    child = os.fork()  # as a process that loads patches is; it outlives the one that holds the lock
    os.write(1, b"%d\\n" % (child or os.getpid()))  # at once, not in parts
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock, and a child of it."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "new")], stdout=subprocess.PIPE, text=True)
    numbers = {int(process.stdout.readline()) for _ in range(2)}
    yield process
    process.kill()
    for number in numbers:  # the child holds the pipe, too: reading to its end would wait for it
        os.kill(number, signal.SIGKILL)
    process.communicate()


def enter(folder):
    with alone_in(folder, "another process is at it", "Wait for it."):
        return True


def test_another_process_is_refused(holder, tmp_path):
    with pytest.raises(AutosegError) as refused:
        enter(tmp_path / "new")
    assert re.fullmatch(
        rf"{re.escape(str(tmp_path / 'new'))}: another process is at it \(process {holder.pid} on .+\)\. Wait for it\.",
        str(refused.value),
    )
    assert enter(tmp_path / "another")


def test_one_that_was_killed_refuses_nobody(holder, tmp_path):
    """Though a process that it started is still there, and so is the file."""
    holder.kill()
    holder.wait()
    assert (tmp_path / "new" / LOCK).is_file()
    assert enter(tmp_path / "new")


def test_one_that_ended_leaves_nothing(tmp_path):
    for _ in range(2):
        assert enter(tmp_path)
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(ZeroDivisionError), alone_in(tmp_path, "", ""):
        1 / 0  # noqa: B018
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_its_holder_has_removed_is_no_lock(tmp_path, monkeypatch):
    """It was opened just before; then the lock of the file that is there now is what counts."""
    path, opened = os.path, []
    samestat = path.samestat

    def removed_once(*status):
        if not opened:
            opened.append((tmp_path / LOCK).unlink())
            return False
        return samestat(*status)

    monkeypatch.setattr(path, "samestat", removed_once)
    with alone_in(tmp_path, "", ""):
        assert (tmp_path / LOCK).is_file()
    assert len(opened) == 1


@pytest.mark.parametrize("what", ["open", "lock"])
def test_a_disk_without_locks(tmp_path, monkeypatch, caplog, what):
    def refuse(*arguments):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(*((os, "open", refuse) if what == "open" else ("fcntl.lockf", refuse)))
    assert enter(tmp_path)
    assert caplog.messages == [
        f"warning: {tmp_path}: cannot be locked (No locks available); start no second process that writes there"
    ]
