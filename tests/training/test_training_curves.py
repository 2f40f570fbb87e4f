"""The picture of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest

from autoseg.training.training_curves import draw_training_curves


def rows(epochs: int, targets: int) -> list[dict[str, Any]]:
    return [
        {
            "epoch": epoch,
            "minutes": 0.5 * (epoch + 1),
            "train_loss": 1.0 / (epoch + 1),
            "validation_loss": 1.2 / (epoch + 1),
            "dice": {f"organ {target}": None if epoch == 0 else 0.5 for target in range(targets)},
            "mean_dice": None if epoch == 0 else 0.5,
            "learning_rate": 0.01 * (1 - epoch / epochs),
            "seconds": 30.0,
            "data_wait": 0.1,
        }
        for epoch in range(epochs)
    ]


@pytest.mark.parametrize(
    ("epochs", "targets"),
    [
        pytest.param(1, 1, id="first epoch, no Dice yet"),
        pytest.param(30, 2, id="few"),
        pytest.param(300, 14, id="many epochs and targets"),
    ],
)
def test_picture(tmp_path: Path, epochs: int, targets: int) -> None:
    path = tmp_path / "fold_0" / "progress.png"
    draw_training_curves(path, rows(epochs, targets), "hippocampus, 3d_fullres, fold 0")
    picture = matplotlib.image.imread(path)
    assert picture.shape == (768, 1200, 4)
    panels = (picture[60:380, :600], picture[60:380, 600:], picture[420:, :600], picture[420:, 600:])
    coloured = [bool(np.ptp(panel[..., :3], axis=-1).max() > 0.2) for panel in panels]
    assert coloured == [True, targets <= 10, True, True]  # more targets than colours are grey
    assert [file.name for file in path.parent.iterdir()] == ["progress.png"]


def test_later_pictures_replace_earlier_ones(tmp_path: Path) -> None:
    path = tmp_path / "progress.png"
    draw_training_curves(path, rows(2, 1), "a")
    before = path.read_bytes()
    draw_training_curves(path, rows(3, 1), "a")
    assert path.read_bytes() != before
