"""Counts of voxels, and what follows from them, against hand-worked cases and MONAI."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.evaluation.overlap import count_voxels


@pytest.mark.parametrize(
    ("prediction", "reference", "dice", "iou", "precision", "recall"),
    [
        ("....", "....", None, None, None, None),  # nothing to find, nothing found: not counted
        ("#...", "....", 0.0, 0.0, 0.0, None),  # found what is not there
        ("....", "#...", 0.0, 0.0, None, 0.0),  # missed
        ("#...", "#...", 1.0, 1.0, 1.0, 1.0),  # one voxel
        ("#...", ".#..", 0.0, 0.0, 0.0, 0.0),
        ("##..", ".##.", 0.5, 1 / 3, 0.5, 0.5),
        ("####", "#...", 0.4, 0.25, 0.25, 1.0),
    ],
)
def test_hand_worked(
    prediction: str,
    reference: str,
    dice: float | None,
    iou: float | None,
    precision: float | None,
    recall: float | None,
) -> None:
    found = count_voxels(*(np.array([sign == "#" for sign in mask]) for mask in (prediction, reference)))
    assert (found.dice, found.iou, found.precision, found.recall) == pytest.approx((dice, iou, precision, recall))


def test_equals_monai() -> None:
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    torch.set_num_threads(1)
    masks = np.random.default_rng(0).random((2, 8, 9, 10)) < 0.3
    prediction, reference = (torch.from_numpy(mask[None, None].astype(np.float32)) for mask in masks)
    found = count_voxels(*masks)
    confusion = metrics.get_confusion_matrix(prediction, reference)
    for name in ("precision", "recall"):
        expected = metrics.compute_confusion_matrix_metric(name, confusion).item()
        assert getattr(found, name) == pytest.approx(expected)
    assert found.dice == pytest.approx(metrics.compute_dice(prediction, reference).item())
    assert found.iou == pytest.approx(metrics.compute_iou(prediction, reference).item())


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"prediction \(2,\) and reference \(1,\) differ in shape"):
        count_voxels(np.zeros(2, bool), np.zeros(1, bool))
