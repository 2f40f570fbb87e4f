from __future__ import annotations

import io
import itertools
import logging

import pytest
from rich.console import Console

from autoseg.cli import display


@pytest.fixture(autouse=True)
def quiet_again(monkeypatch):
    monkeypatch.setattr(display, "_quiet", False)


def work(total=4):
    with display.progress("resampling [z]", total) as step:
        for number in range(total):
            step(1, f"case_{number}")


def test_without_a_terminal_progress_is_a_line_now_and_then(capsys, monkeypatch):
    seconds = itertools.count(0, 20)
    monkeypatch.setattr(display.time, "monotonic", lambda: float(next(seconds)))
    work()
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines()[0].startswith("resampling [z]: 50% after ")
    assert told.err.splitlines()[0].endswith("s  case_1")
    assert told.err.splitlines()[-1].startswith("resampling [z]: done in ")


def test_on_a_terminal_progress_is_a_bar(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(display, "err", Console(file=screen, force_terminal=True, width=100))
    work()
    assert "resampling [z]" in screen.getvalue()
    assert "100%" in screen.getvalue()
    assert "case_3" in screen.getvalue()


def test_quiet_shows_results_and_errors(capsys, monkeypatch):
    monkeypatch.setattr(display, "_quiet", True)
    work()
    display.say("on the way")
    display.show("a result of [1, 2]")
    display.complain("a problem with [a]")
    assert capsys.readouterr() == ("a result of [1, 2]\n", "autoseg: a problem with [a]\n")


@pytest.mark.parametrize(
    ("quiet", "verbose", "shown"),
    [(False, False, ["info", "warning"]), (True, False, []), (False, True, ["debug", "info", "warning"])],
)
def test_what_is_shown_of_the_log(capsys, quiet, verbose, shown):
    loggers = [logging.getLogger(), logging.getLogger("autoseg")]
    before = [(logger.level, logger.handlers[:]) for logger in loggers]
    try:
        display.set_verbosity(quiet, verbose)
        for level in ("debug", "info", "warning"):
            getattr(logging.getLogger("autoseg.training"), level)(level)
        logging.getLogger("matplotlib").info("elsewhere")
    finally:
        for logger, (level, handlers) in zip(loggers, before, strict=True):
            logger.setLevel(level)
            logger.handlers[:] = handlers
    told = capsys.readouterr().err
    assert [word for word in ("debug", "info", "warning", "elsewhere") if word in told.split()] == shown
