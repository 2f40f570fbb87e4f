from __future__ import annotations

import csv
import importlib.util
import io

import pytest

from autoseg.errors import TrainingError
from autoseg.training.log import Log, as_csv

ROWS = [
    {"epoch": 0, "minutes": 0.5, "train_loss": 1.25, "dice": {"kidney": None, "tumour, left": 0.5}},
    {"epoch": 1, "minutes": 1.0, "train_loss": None, "dice": {"kidney": 0.25, "tumour, left": 0.5}, "skipped": 3},
]
HAS_TENSORBOARD = importlib.util.find_spec("tensorboard") is not None


def test_the_log_as_a_table():
    read = list(csv.DictReader(io.StringIO(as_csv(ROWS))))
    assert read == [
        {**row, "dice.kidney": kidney, "dice.tumour, left": "0.5", "skipped": skipped}
        for row, kidney, skipped in (
            ({"epoch": "0", "minutes": "0.5", "train_loss": "1.25"}, "", ""),
            ({"epoch": "1", "minutes": "1.0", "train_loss": ""}, "0.25", "3"),
        )
    ]


@pytest.mark.skipif(HAS_TENSORBOARD, reason="TensorBoard is installed")
def test_without_tensorboard(tmp_path):
    with pytest.raises(TrainingError, match=r"not installed. Install it: pip install 'autoseg\[tensorboard\]'"):
        Log(tmp_path, "title", tensorboard=True)


@pytest.mark.skipif(not HAS_TENSORBOARD, reason="TensorBoard is not installed")
def test_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    rows = [
        {**row, "validation_loss": 1.0, "mean_dice": 0.5, "learning_rate": 0.1, "seconds": 1.0, "data_wait": 0.1}
        for row in ROWS
    ]
    log = Log(tmp_path, "title", tensorboard=True)
    log.write(rows[:1], finished=False)
    log.write(rows, finished=True)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("dice.tumour, left")] == [(0, 0.5), (1, 0.5)]
    assert [(event.step, event.value) for event in events.Scalars("train_loss")] == [(0, 1.25)]
