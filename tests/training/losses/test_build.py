"""Terms put together: weights, what they are over, precision, resolutions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autoseg.dataset.labels import Labels
from autoseg.plan.loss import BinaryCrossEntropy, Boundary, CrossEntropy, Focal, SoftDice, SurfaceDice, TopKCrossEntropy
from autoseg.training.losses import build_loss, deep_loss

KIDNEYS = Labels(values={"background": 0, "kidney": 1, "tumour": 2})


def test_terms_are_weighted_and_added(draw, ours):
    logits, classes = draw(KIDNEYS)
    entropy, dice = (ours([term], KIDNEYS, logits, classes)[0] for term in (CrossEntropy(), SoftDice()))
    both = ours([CrossEntropy(weight=2.0), SoftDice(weight=0.5)], KIDNEYS, logits, classes)[0]
    assert both == pytest.approx(2 * entropy + 0.5 * dice, rel=1e-6)


def test_the_loss_of_the_residual_ensemble(draw, ours):
    """Weighted cross-entropy + 2 - ½ Dice of kidney ∪ tumour - 1½ Dice of tumour, written out."""
    terms = [
        CrossEntropy(weights={"background": 0.5, "kidney": 1.0, "tumour": 1.5}),
        SoftDice(over=[["kidney", "tumour"], "tumour"], over_batch=True, smooth=0),
        SoftDice(over=["tumour"], over_batch=True, smooth=0),
    ]
    logits, classes = draw(KIDNEYS)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    y = np.stack([classes == index for index in range(3)], axis=1)
    weights = np.array([0.5, 1.0, 1.5]).reshape(1, 3, 1, 1, 1)
    entropy = -(weights * y * np.log(p)).sum() / classes.size
    kidney = 2 * ((1 - p[:, 0]) * ~y[:, 0]).sum() / ((1 - p[:, 0]).sum() + (~y[:, 0]).sum())
    tumour = 2 * (p[:, 2] * y[:, 2]).sum() / (p[:, 2].sum() + y[:, 2].sum())
    expected = entropy + 2 - 0.5 * kidney - 1.5 * tumour
    assert ours(terms, KIDNEYS, logits, classes)[0] == pytest.approx(expected, rel=1e-5)


def test_labels_whose_values_do_not_rise_with_their_names(draw, ours):
    """Outputs are ordered by the values in the files."""
    labels = Labels(values={"tumour": 7, "background": 0, "kidney": 2})  # classes: background, kidney, tumour
    logits, classes = draw(labels)
    for over, names in (("foreground", ["kidney", "tumour"]), ("all", ["background", "kidney", "tumour"])):
        found, expected = ours([SoftDice(over=over)], labels, logits, classes), SoftDice(over=names)
        assert found[0] == pytest.approx(ours([expected], KIDNEYS, logits, classes)[0], rel=1e-6)
    weighted = [ours([CrossEntropy(weights={"tumour": 5.0})], one, logits, classes)[0] for one in (labels, KIDNEYS)]
    assert weighted[0] == weighted[1]


REGIONS = Labels.model_validate(
    {
        "values": {"background": 0, "rim": 1, "core": 2},
        "regions": {"whole": {"values": [1, 2], "paint": 1}, "core": {"values": [2], "paint": 2}},
    }
)
PRECISION = [
    pytest.param(KIDNEYS, [CrossEntropy(), SoftDice(), SurfaceDice()], id="classes"),
    pytest.param(KIDNEYS, [Focal(), TopKCrossEntropy(weights={"tumour": 2.0}), Boundary()], id="more terms"),
    pytest.param(REGIONS, [BinaryCrossEntropy(), SoftDice(ratio="generalised")], id="regions"),
]


@pytest.mark.parametrize(("labels", "terms"), PRECISION)
def test_computed_in_float32_whatever_the_logits_are_and_under_autocast(draw, labels, terms):
    logits, classes = draw(labels)
    halved, classes = torch.tensor(logits, dtype=torch.bfloat16), torch.tensor(classes)
    loss = build_loss(terms, labels)
    expected = loss(halved.float(), classes)
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(halved, classes)
    assert found.dtype == torch.float32
    assert found.item() == expected.item()


@pytest.mark.parametrize(
    ("levels", "weights"),
    [(1, [1.0]), (2, [2 / 3, 1 / 3]), (3, [4 / 7, 2 / 7, 1 / 7]), (4, [8 / 15, 4 / 15, 2 / 15, 1 / 15])],
)
def test_weights_of_the_resolutions(levels, weights):
    outputs = [torch.full((1, 1, 8 // 2**level, 8 // 2**level), 10.0**level) for level in range(levels)]
    classes = torch.zeros(1, 8, 8, dtype=torch.int16)
    found = deep_loss(lambda logits, _: logits.mean(), outputs, classes)
    assert found.item() == pytest.approx(sum(w * 10**level for level, w in enumerate(weights)), rel=1e-6)


def test_lower_resolutions_see_the_nearest_voxel():
    classes = torch.arange(8 * 12, dtype=torch.int16).reshape(1, 8, 12) - 1  # the ignore class stays what it is
    seen = []

    def remember(logits, at_level):
        seen.append(at_level)
        return logits.sum()

    deep_loss(remember, [torch.zeros(1, 2, 8, 12), torch.zeros(1, 2, 8, 6), torch.zeros(1, 2, 4, 3)], classes)
    assert torch.equal(seen[0], classes)
    assert torch.equal(seen[1].short(), classes[:, :, 1::2])  # of two voxels as near, the second
    assert torch.equal(seen[2].short(), classes[:, 1::2, 2::4])
