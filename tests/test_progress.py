"""The progress that shows nothing."""

from __future__ import annotations

import pytest

from autoseg.progress import silent


def test_silent_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with silent("resampling", 2) as step:
        step(1, "case 1")
        step(1, "case 2")
    assert capfd.readouterr() == ("", "")


def test_silent_hides_no_error() -> None:
    with pytest.raises(RuntimeError, match="broken"), silent("resampling", 1):
        raise RuntimeError("broken")
