from __future__ import annotations

import pytest

from autoseg.plan.training import Training
from autoseg.training.length import share_done

COUNTED = Training(epochs=4, iterations_per_epoch=25)
TIMED = Training(epochs=4, iterations_per_epoch=25, minutes=0.5)


@pytest.mark.parametrize(
    ("training", "iteration", "seconds", "share"),
    [
        pytest.param(COUNTED, 0, 0, 0.0, id="not begun"),
        pytest.param(COUNTED, 75, 1e6, 0.75, id="counted, however long it took"),
        pytest.param(COUNTED, 100, 0, 1.0, id="done"),
        pytest.param(TIMED, 1000, 6, 0.2, id="by the clock, however many steps"),
        pytest.param(TIMED, 0, 33, 1.1, id="time ran over"),
    ],
)
def test_share_done(training, iteration, seconds, share):
    assert share_done(training, iteration, seconds) == pytest.approx(share)
