"""Pictures of scored cases: which are chosen, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset import Case, Labels, write_image, write_label_map
from autoseg.evaluation import Measures, Scores
from autoseg.geometry import plain_grid
from autoseg.reporting import cases as drawing
from autoseg.reporting import draw_cases

GRID = plain_grid((2, 4, 4), (2.0, 1.0, 1.0))
LABELS = Labels(values={"background": 0, "kidney": 1, "tumour": 2})
DICE = {
    "a": {"kidney": 0.9, "tumour": 0.5},
    "b": {"kidney": 0.8, "tumour": None},
    "c": {"kidney": 0.1, "tumour": 0.2},
    "d": {"kidney": None, "tumour": None},
}


def test_the_worst_comes_first_with_its_worst_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = []
    for name in DICE:
        image, label = tmp_path / f"{name}_0000.nii.gz", tmp_path / "labels" / f"{name}.nii.gz"
        write_image(image, np.zeros(GRID.shape, np.float32), GRID)
        for folder in ("labels", "predictions"):
            write_label_map(tmp_path / folder / f"{name}.nii.gz", np.ones(GRID.shape, np.uint8), GRID)
        cases.append(Case(name=name, images=(image,), label=label))
    measured = {name: {target: Measures(dice=value) for target, value in dice.items()} for name, dice in DICE.items()}
    drawn = []
    monkeypatch.setattr(drawing, "draw_overlays", lambda path, items, labels: drawn.extend(items))
    draw_cases(tmp_path / "cases.png", cases, tmp_path / "predictions", Scores(cases=measured), LABELS)
    assert [(item.name, item.title) for item in drawn] == [
        ("c", "Dice 0.150, kidney 0.100"),
        ("a", "Dice 0.700, tumour 0.500"),
        ("b", "Dice 0.800"),
    ]
