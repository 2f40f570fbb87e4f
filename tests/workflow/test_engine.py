"""Tasks that need each other, in this process and in several."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from engine_tasks import die, fail, note, sleep, stumble

from autoseg.errors import TrainingStopped
from autoseg.workflow.engine import NotDone, Task, in_turn, on_devices


def two_processes(tmp_path, told=lambda name, state: None):
    return on_devices(["cpu", "cpu:1"], tmp_path / "logs", told)


def times(path: Path) -> tuple[float, float]:
    begun, ended, *_ = path.read_text().split()
    return float(begun), float(ended)


def test_one_after_another(tmp_path):
    order = []
    tasks = [Task(name, partial(lambda name, device: order.append((name, device)), name)) for name in "abc"]
    tasks[0] = tasks[0]._replace(needs=("b",))
    tasks[2] = tasks[2]._replace(after=("a",))
    assert in_turn("cuda:1", lambda name, state: None)(tasks) == NotDone({}, ())
    assert order == [("b", "cuda:1"), ("a", "cuda:1"), ("c", "cuda:1")]


def test_what_fails_stops_only_what_needs_it():
    done = []
    work = done.append
    tasks = [
        Task("a", fail),
        Task("b", work, needs=("a",)),
        Task("c", work, needs=("b",)),
        Task("d", work, after=("a", "c")),
        Task("e", work),
    ]
    states = []
    not_done = in_turn(None, lambda *state: states.append(state))(tasks)
    assert not_done == NotDone({"a": "not like this"}, ("b", "c"))
    assert states == [("a", "failed: not like this"), ("d", "done"), ("e", "done")]
    assert done == [None, None]


def test_a_bug_is_not_taken_for_a_failure():
    with pytest.raises(ZeroDivisionError):
        in_turn(None, lambda name, state: None)([Task("a", stumble)])


def test_two_processes_work_at_the_same_time(tmp_path):
    tasks = [Task(name, partial(note, tmp_path, name)) for name in "abcd"]
    tasks[3] = tasks[3]._replace(needs=("a", "b"))
    assert two_processes(tmp_path)(tasks) == NotDone({}, ())
    spans = {name: times(tmp_path / name) for name in "abcd"}
    assert max(spans["a"][1], spans["b"][1]) <= spans["d"][0]
    where = {(tmp_path / name).read_text().split()[2:][0] for name in "abcd"}
    processes = {(tmp_path / name).read_text().split()[3] for name in "abcd"}
    assert where == {"cpu", "cpu:1"} and len(processes) == 2 and str(os.getpid()) not in processes


def test_failures_in_processes(tmp_path):
    """A message, a bug and a death: each is told, and others are done all the same."""
    tasks = [
        Task("a", fail),
        Task("b", stumble),
        Task("c", die),
        Task("d", partial(note, tmp_path, "d"), after=("a", "b", "c")),
        Task("e", partial(note, tmp_path, "e"), needs=("c",)),
    ]
    states = []
    not_done = two_processes(tmp_path, lambda *state: states.append(state))(tasks)
    log = tmp_path / "logs" / "b.log"
    assert not_done.failed == {
        "a": "not like this",
        "b": f"ZeroDivisionError: by nothing (more in {log})",
        "c": "its process ended (killed by SIGKILL)",
    }
    assert not_done.blocked == ("e",)
    assert ("d", "done") in states and (tmp_path / "d").is_file()
    assert "in stumble" in log.read_text()
    assert "not like this" in (tmp_path / "logs" / "a.log").read_text()


def test_asked_to_stop_it_begins_nothing_more(tmp_path):
    tasks = [Task("a", partial(sleep, tmp_path / "begun")), Task("b", fail, needs=("a",))]

    def press():
        while not (tmp_path / "begun").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    with pytest.raises(TrainingStopped):
        two_processes(tmp_path)(tasks)


def test_processes_end_with_the_one_that_started_them(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path; from functools import partial\n"
        "from autoseg.workflow.engine import Task, on_devices; from engine_tasks import linger\n"
        "if __name__ == '__main__':\n"
        "    path = Path(sys.argv[2])\n"
        "    on_devices(['cpu'], path, lambda *s: None)([Task('a', partial(linger, path / 'pid'))])\n"
    )
    (tmp_path / "parent.py").write_text(code)
    parent = subprocess.Popen([sys.executable, tmp_path / "parent.py", Path(__file__).parent, tmp_path])
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert parent.poll() is None
        time.sleep(0.05)
    child = int((tmp_path / "pid").read_text())
    parent.kill()
    parent.wait()
    ends = time.monotonic() + 30
    while time.monotonic() < ends and _runs(child):
        time.sleep(0.1)
    assert not _runs(child)


def _runs(process: int) -> bool:
    status = Path(f"/proc/{process}/stat")
    return status.is_file() and status.read_text().rpartition(")")[2].split()[0] != "Z"
