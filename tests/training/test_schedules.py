from __future__ import annotations

import pytest

from autoseg.plan.training import Poly
from autoseg.training.schedules import learning_rate_factor


@pytest.mark.parametrize(
    ("power", "progress", "factor"),
    [
        (0.9, 0.0, 1.0),
        (0.9, 0.5, 0.5**0.9),
        (0.9, 0.999, 0.001**0.9),
        (0.9, 1.0, 0.0),
        (2.0, 0.75, 0.0625),
        (0.9, -0.1, 1.0),
        (0.9, 1.2, 0.0),  # the clock may run over
    ],
)
def test_poly(power, progress, factor):
    assert learning_rate_factor(Poly(power=power), progress) == pytest.approx(factor)
