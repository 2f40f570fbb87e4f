"""Losses against float64 NumPy, against MONAI, and their gradients against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autoseg.dataset.labels import IGNORE_CLASS, Labels, Region
from autoseg.plan.loss import BinaryCrossEntropy, CrossEntropy, SoftDice
from autoseg.training.losses import (
    Target,
    binary_cross_entropy,
    build_loss,
    cross_entropy,
    deep_loss,
    make_target,
    soft_dice,
)

CLASSES = Labels(values={"background": 0, "kidney": 1, "tumour": 2, "cyst": 3})
REGIONS = Labels(
    values={"background": 0, "oedema": 1, "core": 2, "enhancing": 3},
    regions={
        "whole": Region(values=(1, 2, 3), paint=1),
        "core": Region(values=(2, 3), paint=2),
        "enhancing": Region(values=(3,), paint=3),
    },
)
SHAPES = [pytest.param((5, 6), id="2-D"), pytest.param((4, 5, 3), id="3-D")]


def batch(labels, shape=(4, 5, 3), ignored=0.0, seed=0):
    """Logits and class indices; a share of the voxels is not annotated."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (3, labels.outputs, *shape))
    classes = generator.integers(0, len(labels.classes), (3, *shape))
    classes[generator.random(classes.shape) < ignored] = IGNORE_CLASS
    return logits, classes


def flat(logits, classes):
    """(voxels, outputs) and (voxels,) of what is annotated."""
    logits = np.moveaxis(logits, 1, -1)[classes != IGNORE_CLASS]
    return logits, classes[classes != IGNORE_CLASS]


def members(classes, labels):
    """(voxels, outputs): is the voxel in the class, or in the region?"""
    groups = labels.target_classes.values() if labels.regions else [(index,) for index in range(len(labels.classes))]
    return np.stack([np.isin(classes, group) for group in groups], axis=-1).astype(float)


def softmax(logits):
    powers = np.exp(logits)
    return powers / powers.sum(-1, keepdims=True)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def expected_cross_entropy(logits, classes):
    logits, classes = flat(logits, classes)
    return -np.log(softmax(logits)[np.arange(len(classes)), classes]).mean()


def expected_binary_cross_entropy(logits, classes, labels):
    logits, classes = flat(logits, classes)
    p, q = sigmoid(logits), members(classes, labels)
    return -(q * np.log(p) + (1 - q) * np.log(1 - p)).mean()


def expected_dice(logits, classes, labels, over_batch, smooth):
    if over_batch:
        samples = [flat(logits, classes)]
    else:
        samples = [flat(*sample) for sample in zip(np.split(logits, 3), np.split(classes, 3), strict=True)]
    values = []
    for x, known in samples:
        p, q = (sigmoid(x) if labels.regions else softmax(x)), members(known, labels)
        for channel in range(0 if labels.regions else 1, p.shape[1]):
            overlap = (p[:, channel] * q[:, channel]).sum()
            values.append((2 * overlap + smooth) / (p[:, channel].sum() + q[:, channel].sum() + smooth))
    return 1 - np.mean(values)


def ours(terms, labels, logits, classes):
    """Value, and gradient in the logits."""
    x = torch.tensor(logits, dtype=torch.float32, requires_grad=True)
    value = build_loss(terms, labels)(x, torch.tensor(classes, dtype=torch.int16))
    value.backward()
    return value.item(), x.grad


@pytest.mark.parametrize("ignored", [0.0, 0.4])
@pytest.mark.parametrize("shape", SHAPES)
def test_cross_entropy(shape, ignored):
    logits, classes = batch(CLASSES, shape, ignored)
    value, _ = ours([CrossEntropy()], CLASSES, logits, classes)
    assert value == pytest.approx(expected_cross_entropy(logits, classes), rel=1e-5)


@pytest.mark.parametrize("ignored", [0.0, 0.4])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("labels", [CLASSES, REGIONS], ids=["classes", "regions"])
def test_binary_cross_entropy(labels, shape, ignored):
    logits, classes = batch(labels, shape, ignored)
    value, _ = ours([BinaryCrossEntropy()], labels, logits, classes)
    assert value == pytest.approx(expected_binary_cross_entropy(logits, classes, labels), rel=1e-5)


@pytest.mark.parametrize("smooth", [0.0, 1e-5, 1.0])
@pytest.mark.parametrize("over_batch", [False, True])
@pytest.mark.parametrize("ignored", [0.0, 0.4])
@pytest.mark.parametrize("labels", [CLASSES, REGIONS], ids=["classes", "regions"])
def test_dice(labels, ignored, over_batch, smooth):
    logits, classes = batch(labels, ignored=ignored)
    value, _ = ours([SoftDice(over_batch=over_batch, smooth=smooth)], labels, logits, classes)
    assert value == pytest.approx(expected_dice(logits, classes, labels, over_batch, smooth), rel=1e-5)


@pytest.mark.parametrize("over_batch", [False, True])
@pytest.mark.parametrize("labels", [CLASSES, REGIONS], ids=["classes", "regions"])
def test_dice_and_its_gradient_against_monai(labels, over_batch):
    losses = pytest.importorskip("monai.losses")
    logits, classes = batch(labels)
    classes[0][classes[0] == 3] = 0  # a label that one patch lacks
    value, gradient = ours([SoftDice(over_batch=over_batch)], labels, logits, classes)
    theirs = losses.DiceLoss(
        include_background=bool(labels.regions),
        softmax=not labels.regions,
        sigmoid=bool(labels.regions),
        smooth_nr=1e-5,
        smooth_dr=1e-5,
        batch=over_batch,
    )
    x = torch.tensor(logits, dtype=torch.float32, requires_grad=True)
    shares = torch.tensor(np.moveaxis(members(classes, labels), -1, 1), dtype=torch.float32)
    expected = theirs(x, shares)
    expected.backward()
    assert value == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(gradient, x.grad, rtol=1e-4, atol=1e-8)


def target_of(classes, labels):
    """In float64, for finite differences."""
    made = make_target(torch.tensor(classes), labels.outputs, labels.target_classes if labels.regions else None)
    return Target(made.classes, made.shares.double(), made.annotated.double())


TERMS = {
    "cross entropy": (CLASSES, lambda x, t: cross_entropy(x, t)),
    "binary cross entropy": (REGIONS, lambda x, t: binary_cross_entropy(x, t)),
    "dice": (CLASSES, lambda x, t: soft_dice(x.softmax(1), t.shares, t.annotated, SoftDice())),
    "batch dice": (REGIONS, lambda x, t: soft_dice(x.sigmoid(), t.shares, t.annotated, SoftDice(over_batch=True))),
}


@pytest.mark.parametrize("ignored", [0.0, 0.5])
@pytest.mark.parametrize("term", TERMS)
def test_gradients_against_finite_differences(term, ignored):
    labels, function = TERMS[term]
    logits, classes = batch(labels, (2, 3), ignored)
    target = target_of(classes, labels)
    x = torch.tensor(logits, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: function(x, target), (x,))


ALL_TERMS = [
    pytest.param(CLASSES, [CrossEntropy(), SoftDice()], id="classes"),
    pytest.param(REGIONS, [BinaryCrossEntropy(), SoftDice(over_batch=True)], id="regions"),
]


@pytest.mark.parametrize(("labels", "terms"), ALL_TERMS)
def test_voxels_nobody_annotated_do_not_count(labels, terms):
    logits, classes = batch(labels, ignored=0.5)
    nowhere = np.broadcast_to((classes == IGNORE_CLASS)[:, None], logits.shape)
    value, gradient = ours(terms, labels, logits, classes)
    other, _ = ours(terms, labels, np.where(nowhere, 9.0, logits), classes)
    assert other == pytest.approx(value, rel=1e-6)
    assert (gradient.numpy()[nowhere] == 0).all()
    assert (gradient.numpy()[~nowhere] != 0).all()


@pytest.mark.parametrize(("labels", "terms"), ALL_TERMS)
def test_nothing_annotated_no_loss(labels, terms):
    logits, classes = batch(labels)
    value, gradient = ours(terms, labels, logits, np.full_like(classes, IGNORE_CLASS))
    assert value == pytest.approx(0, abs=1e-6)
    assert not gradient.any()


@pytest.mark.parametrize(("labels", "terms"), ALL_TERMS)
def test_a_perfect_prediction_costs_nothing(labels, terms):
    _, classes = batch(labels)
    certain = 60 * (2 * np.moveaxis(members(classes, labels), -1, 1) - 1)
    assert ours(terms, labels, certain, classes)[0] == pytest.approx(0, abs=1e-6)


def test_terms_are_weighted_and_added():
    logits, classes = batch(CLASSES)
    weighted = ours([CrossEntropy(weight=2.0), SoftDice(weight=0.5)], CLASSES, logits, classes)[0]
    expected = 2 * expected_cross_entropy(logits, classes) + 0.5 * expected_dice(logits, classes, CLASSES, False, 1e-5)
    assert weighted == pytest.approx(expected, rel=1e-5)


def test_half_precision_logits_are_compared_in_float32():
    logits, classes = batch(CLASSES)
    halved = torch.tensor(logits, dtype=torch.bfloat16)
    loss = build_loss([CrossEntropy(), SoftDice()], CLASSES)
    value = loss(halved, torch.tensor(classes))
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(halved.float(), torch.tensor(classes)).item(), abs=1e-6)


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
