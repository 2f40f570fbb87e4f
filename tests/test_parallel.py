"""One function over many items, in this process and in several."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from autoseg.errors import AutosegError, DatasetError
from autoseg.parallel import available_cores, map_items
from autoseg.progress import Step

# Test files are not importable by name, as a started process would need; a forked one has them.
forks = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")
PROCESSES = [pytest.param(1, id="here"), pytest.param(2, id="two processes", marks=forks)]


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


@pytest.mark.parametrize("processes", PROCESSES)
def test_results_in_the_order_of_the_items(processes: int) -> None:
    assert map_items(slow_first, range(6), processes, "squaring") == [0, 1, 4, 9, 16, 25]


@pytest.mark.parametrize("processes", PROCESSES)
def test_nothing_to_do(processes: int) -> None:
    assert map_items(slow_first, [], processes, "squaring") == []


@pytest.mark.parametrize("processes", PROCESSES)
def test_equal_items_are_each_done(processes: int) -> None:
    assert map_items(slow_first, [2, 2, 3], processes, "squaring") == [4, 4, 9]


@pytest.mark.parametrize("processes", PROCESSES)
def test_progress_hears_of_every_item(processes: int) -> None:
    heard: list[object] = []

    @contextmanager
    def record(description: str, total: float) -> Iterator[Step]:
        heard.append((description, total))
        yield lambda done, note: heard.append((done, note))
        heard.append("end")

    map_items(slow_first, [1, 2, 3], processes, "squaring", record, name=lambda item: f"case {item}")
    assert heard[0] == ("squaring", 3) and heard[-1] == "end"
    assert sorted(heard[1:-1], key=str) == [(1, "case 1"), (1, "case 2"), (1, "case 3")]


@pytest.mark.parametrize("processes", PROCESSES)
def test_errors_come_through(processes: int) -> None:
    with pytest.raises(DatasetError, match=r"case 3: no image\. Add it\."):
        map_items(refuse_three, range(20), processes, "reading")


def test_one_job_stays_in_this_process() -> None:
    assert set(map_items(process, range(2), 1, "asking")) == {os.getpid()}
    assert set(map_items(process, range(1), 8, "asking")) == {os.getpid()}


@forks
def test_two_processes_are_two() -> None:
    processes = set(map_items(process, range(6), 2, "asking"))
    assert len(processes) == 2 and os.getpid() not in processes


@forks
def test_without_a_number_of_jobs_there_is_one_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoseg.parallel.available_cores", lambda: 2)
    assert len(set(map_items(process, range(6), None, "asking"))) == 2


class Once:
    """Dies over the item 1, but only once: a file tells the next process."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __call__(self, number: int) -> tuple[int, int]:
        if number == 1 and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number, os.getpid()


@forks
@pytest.mark.parametrize("items", [2, 300])
@pytest.mark.parametrize("processes", [2, 3])
def test_what_a_killed_process_was_at_is_done_once_more(
    items: int, processes: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    results = map_items(
        Once(tmp_path / "mark"), range(items), processes, "resampling", name=lambda item: f"case {item}"
    )
    assert [number for number, _ in results] == list(range(items))
    [again] = {process for number, process in results if number == 1}
    assert again not in {process for number, process in results if number != 1}
    [said] = caplog.messages
    assert re.fullmatch(
        r"warning: resampling: case 1 ended its process \(killed by SIGKILL(, having used \d\.\d\d GB of memory)?\)\. "
        r"It is tried once more, alone\.",
        said,
    )


@forks
@pytest.mark.parametrize("items", [2, 300])
def test_killed_twice_is_an_error_when_all_others_are_done(items: int) -> None:
    done: list[str] = []

    @contextmanager
    def record(description: str, total: float) -> Iterator[Step]:
        yield lambda _, note: done.append(note)

    with pytest.raises(AutosegError) as error:
        map_items(die, range(items), 2, "resampling", record, name=lambda item: f"case {item}")
    assert re.fullmatch(
        r"resampling: case 1 ended its process \(killed by SIGKILL(, having used \d\.\d\d GB of memory)?\), "
        r"and it was alone\. All others are done\. "
        r"Most likely memory ran out: run the same command where there is more, or leave the case out\.",
        str(error.value),
    )
    assert sorted(done) == sorted(f"case {number}" for number in range(items) if number != 1)


def die_at_even_ones(number: int) -> int:
    if number % 2 == 0:
        os._exit(7)
    return number


@forks
def test_when_every_process_has_died_the_rest_is_still_done() -> None:
    done: list[str] = []

    @contextmanager
    def record(description: str, total: float) -> Iterator[Step]:
        yield lambda _, note: done.append(note)

    with pytest.raises(AutosegError) as error:
        map_items(die_at_even_ones, range(6), 2, "reading", record, name=lambda item: f"case {item}")
    assert sorted(done) == ["case 1", "case 3", "case 5"]
    message = str(error.value)
    assert message.startswith("reading: case 0 ended its process (exit code 7")
    assert message.endswith(
        ", and it was alone. So did case 2, case 4. All others are done. "
        "Is a file of it damaged? Mend it, or leave the case out, and run the same command again."
    )


def fill_memory(megabytes: int) -> None:
    if megabytes == 0:
        return
    filled = bytearray(megabytes * 10**6)
    for place in range(0, len(filled), 4096):
        filled[place] = 1
    time.sleep(0.5)  # while the other process looks
    os.kill(os.getpid(), signal.SIGKILL)


@forks
def test_the_memory_it_used_is_told() -> None:
    with pytest.raises(AutosegError, match="having used") as error:
        map_items(fill_memory, [700, 0], 2, "filling", name=lambda item: f"{item} MB")
    [used] = re.findall(r"700 MB ended .* having used (\d\.\d\d) GB", str(error.value))
    assert 0.7 <= float(used) < 2


@forks
def test_one_job_in_a_process_of_its_own() -> None:
    assert os.getpid() not in map_items(process, range(2), 1, "asking", apart=True)
    with pytest.raises(AutosegError, match="0 ended its process"):
        map_items(die_at_even_ones, [0], 1, "asking", apart=True)


def unsendable(_: int) -> object:
    return lambda: None


@forks
def test_a_result_that_cannot_be_sent_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="while sending <function unsendable"):
        map_items(unsendable, range(3), 2, "making")


def divide(number: int) -> float:
    return 1 / number


@forks
def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError) as error:
        map_items(divide, [1, 0], 2, "dividing")
    assert "return 1 / number" in error.value.__notes__[0]


def wait_and_tell(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(2)


def gone(process: int) -> bool:
    try:
        return "zombie" in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return True


@forks
def test_the_workers_of_a_killed_process_end_by_themselves(tmp_path: Path) -> None:
    parent = os.fork()
    if parent == 0:
        map_items(wait_and_tell, [tmp_path] * 50, 2, "waiting")
        os._exit(0)
    while len(workers := [int(path.name) for path in tmp_path.iterdir()]) < 2:
        time.sleep(0.05)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    deadline = time.monotonic() + 60
    while not all(map(gone, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert len(list(tmp_path.iterdir())) == 2


def test_available_cores() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
