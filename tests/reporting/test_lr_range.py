from __future__ import annotations

import math

import pytest
from matplotlib import image
from matplotlib.figure import Figure

from autoseg.reporting.lr_range import draw_rate_range
from autoseg.training.lr_range import judge, rising_rates


@pytest.mark.parametrize(
    ("losses", "has_suggestion"),
    [
        ([3 - 0.02 * n if n < 80 else 1.4 + 0.3 * (n - 80) for n in range(100)], True),
        ([2.0], False),
        ([1.0, 1.5, math.nan], False),
        ([0.0, 0.0], False),
    ],
    ids=["as usual", "one step", "never fell", "all the same"],
)
def test_a_picture_is_drawn(tmp_path, monkeypatch, losses, has_suggestion):
    figures, save = [], Figure.savefig

    def remembered(figure, *arguments, **options):
        figures.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", remembered)
    rates = rising_rates(1e-6, 1.0, 100)
    found = judge(rates, losses)
    draw_rate_range(tmp_path / "lr_range.png", found, "Kidneys · 2d · sgd")
    assert image.imread(tmp_path / "lr_range.png").shape[:2] == (504, 840)
    (axes,) = figures[0].axes
    assert axes.get_title(loc="left") == "Kidneys · 2d · sgd"
    dots, _, *marks = axes.get_lines()
    finite = [loss for loss in losses if math.isfinite(loss)]
    assert list(zip(*dots.get_data(), strict=True)) == list(zip(rates, finite, strict=False))
    rates_marked = (found.best, found.suggestion) if has_suggestion else ()
    assert [line.get_xdata()[0] for line in marks] == list(rates_marked)
    labels = (f"lowest at {found.best:.1e}", f"suggested: {found.suggestion:g}") if has_suggestion else ()
    assert [line.get_label() for line in marks] == list(labels)
