"""One function over many items, in this process and in several."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from autoseg.errors import AutosegError, DatasetError
from autoseg.parallel import available_cores, map_items
from autoseg.progress import Step

# Test files are not importable by name, as a started process would need; a forked one has them.
forks = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")
JOBS = [pytest.param(1, id="here"), pytest.param(2, id="two processes", marks=forks)]


def slow_first(number: int) -> int:
    time.sleep(0.1 * (number == 0))
    return number * number


def process(_: int) -> int:
    time.sleep(0.05)
    return os.getpid()


def refuse_three(number: int) -> int:
    if number == 3:
        raise DatasetError(f"case {number}: no image. Add it.")
    return number


def die(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("jobs", JOBS)
def test_results_in_the_order_of_the_items(jobs: int) -> None:
    assert map_items(slow_first, range(6), jobs, "squaring") == [0, 1, 4, 9, 16, 25]


@pytest.mark.parametrize("jobs", JOBS)
def test_nothing_to_do(jobs: int) -> None:
    assert map_items(slow_first, [], jobs, "squaring") == []


@pytest.mark.parametrize("jobs", JOBS)
def test_equal_items_are_each_done(jobs: int) -> None:
    assert map_items(slow_first, [2, 2, 3], jobs, "squaring") == [4, 4, 9]


@pytest.mark.parametrize("jobs", JOBS)
def test_progress_hears_of_every_item(jobs: int) -> None:
    heard: list[object] = []

    @contextmanager
    def record(description: str, total: float) -> Iterator[Step]:
        heard.append((description, total))
        yield lambda done, note: heard.append((done, note))
        heard.append("end")

    map_items(slow_first, [1, 2, 3], jobs, "squaring", record, name=lambda item: f"case {item}")
    assert heard[0] == ("squaring", 3) and heard[-1] == "end"
    assert sorted(heard[1:-1], key=str) == [(1, "case 1"), (1, "case 2"), (1, "case 3")]


@pytest.mark.parametrize("jobs", JOBS)
def test_errors_come_through(jobs: int) -> None:
    with pytest.raises(DatasetError, match=r"case 3: no image\. Add it\."):
        map_items(refuse_three, range(20), jobs, "reading")


def test_one_job_stays_in_this_process() -> None:
    assert set(map_items(process, range(2), 1, "asking")) == {os.getpid()}
    assert set(map_items(process, range(1), 8, "asking")) == {os.getpid()}


@forks
def test_two_jobs_are_two_processes() -> None:
    processes = set(map_items(process, range(6), 2, "asking"))
    assert len(processes) == 2 and os.getpid() not in processes


@forks
def test_without_a_number_of_jobs_there_is_one_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoseg.parallel.available_cores", lambda: 2)
    assert len(set(map_items(process, range(6), None, "asking"))) == 2


@forks
@pytest.mark.parametrize("items", [2, 1000])  # few, and so many that it dies while they are handed out
def test_killed_process_is_an_error(items: int) -> None:
    with pytest.raises(AutosegError, match=r"resampling: a worker process was killed.*fewer than 2 jobs \(--jobs 1\)"):
        map_items(die, range(items), 2, "resampling")


def test_available_cores() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
