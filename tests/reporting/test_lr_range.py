from __future__ import annotations

import math

import pytest
from matplotlib import image

from autoseg.reporting.lr_range import draw_rate_range
from autoseg.training.lr_range import judge, rising_rates


@pytest.mark.parametrize(
    "losses",
    [[3 - 0.02 * n if n < 80 else 1.4 + 0.3 * (n - 80) for n in range(100)], [2.0], [1.0, 1.5, math.nan], [0.0, 0.0]],
    ids=["as usual", "one step", "never fell", "all the same"],
)
def test_a_picture_is_drawn(tmp_path, losses):
    draw_rate_range(tmp_path / "lr_range.png", judge(rising_rates(1e-6, 1.0, 100), losses), "Kidneys · 2d · sgd")
    assert image.imread(tmp_path / "lr_range.png").shape[:2] == (504, 840)
