"""Every term against its definition in float64 NumPy and SciPy, its gradient against finite differences of that.

Where MONAI has the term, against MONAI, too.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from autoseg.dataset.labels import IGNORE_CLASS, Labels, Region
from autoseg.plan.loss import (
    BinaryCrossEntropy,
    Boundary,
    CrossEntropy,
    Focal,
    SoftDice,
    SoftJaccard,
    SurfaceDice,
    TopKCrossEntropy,
    Tversky,
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
OUTPUTS = {"classes": ("background", "kidney", "tumour", "cyst"), "regions": ("whole", "core", "enhancing")}
UNITED = [["kidney", "tumour", "cyst"], "tumour", ["background"]]
SHAPES = [pytest.param((5, 6), id="2-D"), pytest.param((4, 5, 3), id="3-D")]
ANNOTATED = pytest.mark.parametrize("ignored", [0.0, 0.4])

TERMS = {
    "cross entropy": (CLASSES, CrossEntropy()),
    "cross entropy, weighted": (CLASSES, CrossEntropy(weights={"background": 0.5, "tumour": 1.5})),
    "binary cross entropy": (REGIONS, BinaryCrossEntropy()),
    "binary cross entropy, weighted": (REGIONS, BinaryCrossEntropy(weights={"core": 3.0})),
    "binary cross entropy of classes": (CLASSES, BinaryCrossEntropy()),
    "focal": (CLASSES, Focal()),
    "focal, weighted": (CLASSES, Focal(gamma=1.5, weights={"background": 0.25, "cyst": 2.0})),
    "focal of regions": (REGIONS, Focal(gamma=3.0, weights={"whole": 0.5})),
    "top k": (CLASSES, TopKCrossEntropy()),
    "top k, weighted": (CLASSES, TopKCrossEntropy(share=0.35, weights={"background": 0.2})),
    "top k of regions": (REGIONS, TopKCrossEntropy(share=0.35, weights={"core": 2.0})),
    "dice": (CLASSES, SoftDice()),
    "dice, batch": (CLASSES, SoftDice(over_batch=True)),
    "dice, smooth": (CLASSES, SoftDice(smooth=1.0)),
    "dice, not smooth": (CLASSES, SoftDice(smooth=0.0)),
    "dice of regions": (REGIONS, SoftDice()),
    "dice of regions, batch": (REGIONS, SoftDice(over_batch=True)),
    "dice of all": (CLASSES, SoftDice(over="all")),
    "dice of unions": (CLASSES, SoftDice(over=UNITED)),
    "dice of some regions": (REGIONS, SoftDice(over=["enhancing", "whole"])),
    "dice, weighted": (CLASSES, SoftDice(weights={"tumour": 3.0})),
    "dice, weighted, batch": (CLASSES, SoftDice(over_batch=True, over=UNITED, weights={"tumour": 3.0})),
    "dice, squared": (CLASSES, SoftDice(squared=True)),
    "dice, joint": (CLASSES, SoftDice(ratio="joint")),
    "dice, joint, weighted": (CLASSES, SoftDice(ratio="joint", over="all", weights={"background": 0.1})),
    "dice, joint, squared, batch": (CLASSES, SoftDice(ratio="joint", squared=True, over_batch=True)),
    "generalised dice": (CLASSES, SoftDice(ratio="generalised", over="all")),
    "generalised dice, batch": (CLASSES, SoftDice(ratio="generalised", over_batch=True, weights={"cyst": 2.0})),
    "generalised dice of regions": (REGIONS, SoftDice(ratio="generalised")),
    "jaccard": (CLASSES, SoftJaccard()),
    "jaccard of unions, batch": (CLASSES, SoftJaccard(over=UNITED, over_batch=True, smooth=1.0)),
    "jaccard of regions": (REGIONS, SoftJaccard(weights={"core": 2.0})),
    "tversky": (CLASSES, Tversky()),
    "tversky, batch": (CLASSES, Tversky(alpha=0.9, beta=0.2, over_batch=True, over="all")),
    "tversky of regions": (REGIONS, Tversky(alpha=0.5, beta=0.5)),
    "surface dice": (CLASSES, SurfaceDice()),
    "surface dice, batch": (CLASSES, SurfaceDice(tolerance_voxels=2, over_batch=True, over=UNITED)),
    "surface dice of regions": (REGIONS, SurfaceDice()),
    "boundary": (CLASSES, Boundary()),
    "boundary, weighted": (CLASSES, Boundary(over="all", weights={"background": 0.1, "cyst": 2.0})),
    "boundary of regions": (REGIONS, Boundary()),
}


# --- the definitions


def expected(term, logits, classes, labels):
    """The value of a term; logits (batch, outputs, *axes), float64."""
    regions = bool(labels.regions)
    names = OUTPUTS["regions" if regions else "classes"]
    known = classes != IGNORE_CLASS
    if regions:
        p = 1 / (1 + np.exp(-logits))
        q = np.stack([np.isin(classes, group) for group in labels.target_classes.values()], axis=1).astype(float)
    else:
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        q = np.stack([classes == index for index in range(len(names))], axis=1).astype(float)
    if isinstance(term, CrossEntropy | BinaryCrossEntropy | Focal | TopKCrossEntropy):
        weights = np.array([term.weights.get(name, 1.0) for name in names])
        softmax = not regions and not isinstance(term, BinaryCrossEntropy)
        if isinstance(term, BinaryCrossEntropy):
            p = 1 / (1 + np.exp(-logits))
        return of_voxels(term, p, q, known, weights, softmax)
    if term.over == "foreground":
        groups = [(name,) for name in names[not regions :]]
    elif term.over == "all":
        groups = [(name,) for name in names]
    else:
        groups = [(name,) if isinstance(name, str) else name for name in term.over]
    p, q = (np.stack([sum(maps[:, names.index(n)] for n in group) for group in groups], 1) for maps in (p, q))
    weights = np.array([term.weights.get(group[0], 1.0) if len(group) == 1 else 1.0 for group in groups])
    if isinstance(term, Boundary):
        return boundary(p, q, known, weights)
    if isinstance(term, SurfaceDice):
        p, q = (bands(maps * known[:, None], term.tolerance_voxels) for maps in (p, q))
        term = SoftDice(over_batch=term.over_batch, smooth=term.smooth)
    p, q = (np.moveaxis(maps, 1, -1) for maps in (p, q))
    if term.over_batch:
        return of_labels(term, p[known], q[known], weights)
    samples = zip(p, q, known, strict=True)
    return np.mean([of_labels(term, p[inside], q[inside], weights) for p, q, inside in samples])


def of_voxels(term, p, q, known, weights, softmax):
    losses = []
    for voxel in zip(*np.nonzero(known), strict=True):
        n, *at = voxel
        for channel in range(p.shape[1]):
            here = (n, channel, *at)
            if softmax and not q[here]:
                continue
            right = p[here] if q[here] else 1 - p[here]
            focused = (1 - right) ** term.gamma if isinstance(term, Focal) else 1.0
            losses.append(-weights[channel] * focused * np.log(right))
    if isinstance(term, TopKCrossEntropy):
        losses = sorted(losses)[-max(1, round(term.share * len(losses))) :]
    return np.mean(losses)


def of_labels(term, p, q, weights):
    """Of (voxels, labels)."""
    if isinstance(term, SoftDice) and term.ratio != "each":
        if term.ratio == "generalised":
            volumes = q.sum(0)
            relative = [min(v for v in volumes if v > 0) / volume if volume else 1.0 for volume in volumes]
            weights = weights * np.array(relative) ** 2
        size = (p**2 + q**2 if term.squared else p + q).sum(0)
        part, whole = 2 * (weights * (p * q).sum(0)).sum(), (weights * size).sum()
        return 1 - (part + term.smooth) / (whole + term.smooth)
    ratios = []
    for p_, q_ in zip(p.T, q.T, strict=True):
        shared, false_positive, false_negative = (p_ * q_).sum(), (p_ * (1 - q_)).sum(), ((1 - p_) * q_).sum()
        if isinstance(term, SoftDice):
            part, whole = 2 * shared, (p_**2 + q_**2).sum() if term.squared else p_.sum() + q_.sum()
        elif isinstance(term, SoftJaccard):
            part, whole = shared, shared + false_positive + false_negative
        else:
            part, whole = shared, shared + term.alpha * false_positive + term.beta * false_negative
        ratios.append((part + term.smooth) / (whole + term.smooth))
    return 1 - np.average(ratios, weights=weights)


def bands(maps, tolerance):
    size = 2 * tolerance + 1
    made = np.empty_like(maps)
    for n, channel in np.ndindex(maps.shape[:2]):
        one = maps[n, channel]
        highest = ndimage.maximum_filter(one, size, mode="constant", cval=-np.inf)
        made[n, channel] = highest - ndimage.minimum_filter(one, size, mode="constant", cval=np.inf)
    return made


def boundary(p, q, known, weights):
    total = 0.0
    for n, channel in np.ndindex(p.shape[:2]):
        inside, outside = q[n, channel] > 0, known[n] & (q[n, channel] == 0)
        if inside.any() and outside.any():
            to_inside, to_outside = (ndimage.distance_transform_edt(~mask) for mask in (inside, outside))
            distance = np.where(inside, 1 - to_outside, to_inside)
            total += weights[channel] * (distance * p[n, channel])[known[n]].sum()
    return total / (known.sum() * p.shape[1])


@pytest.mark.parametrize("shape", SHAPES)
@ANNOTATED
@pytest.mark.parametrize("term", TERMS)
def test_value_and_gradient(draw, ours, term, ignored, shape):
    labels, term = TERMS[term]
    logits, classes = draw(labels, shape, ignored)
    value, gradient = ours([term], labels, logits, classes)
    assert value == pytest.approx(expected(term, logits, classes, labels), rel=2e-5)
    generator, step = np.random.default_rng(1), 1e-5
    for _ in range(2):
        direction = generator.normal(size=logits.shape)
        ahead, behind = (expected(term, logits + way * step * direction, classes, labels) for way in (1, -1))
        scale = np.linalg.norm(gradient) * np.linalg.norm(direction)  # the product of the two may nearly vanish
        assert (gradient * direction).sum() == pytest.approx((ahead - behind) / (2 * step), rel=2e-4, abs=2e-5 * scale)


@pytest.mark.parametrize("term", [name for name in TERMS if name != "dice, not smooth"])  # 0 / 0
def test_a_label_that_is_nowhere(draw, ours, term):
    """Nor is another one in the second patch."""
    labels, term = TERMS[term]
    logits, classes = draw(labels, ignored=0.2)
    classes[classes == 3] = 0
    classes[1][classes[1] == 2] = 1
    value, gradient = ours([term], labels, logits, classes)
    assert value == pytest.approx(expected(term, logits, classes, labels), rel=2e-5)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("term", TERMS)
def test_voxels_nobody_annotated_do_not_count(draw, ours, term):
    labels, term = TERMS[term]
    logits, classes = draw(labels, (4, 5, 6), ignored=0.3)
    nowhere = np.broadcast_to((classes == IGNORE_CLASS)[:, None], logits.shape)
    value, gradient = ours([term], labels, logits, classes)
    assert ours([term], labels, np.where(nowhere, 9.0, logits), classes)[0] == value
    assert (gradient[nowhere] == 0).all() and gradient[~nowhere].any()


@pytest.mark.parametrize("term", TERMS)
def test_nothing_annotated_no_gradient(draw, ours, term):
    labels, term = TERMS[term]
    logits, classes = draw(labels)
    value, gradient = ours([term], labels, logits, np.full_like(classes, IGNORE_CLASS))
    assert value == pytest.approx(1.0 if getattr(term, "smooth", 1) == 0 else 0.0, abs=1e-6)
    assert not gradient.any()


@pytest.mark.parametrize("term", [name for name, (_, term) in TERMS.items() if not isinstance(term, Boundary)])
def test_a_perfect_prediction_costs_nothing(draw, ours, term):
    labels, term = TERMS[term]
    _, classes = draw(labels)
    groups = labels.target_classes.values() if labels.regions else [(index,) for index in range(4)]
    certain = np.stack([np.where(np.isin(classes, group), 60.0, -60.0) for group in groups], axis=1)
    assert ours([term], labels, certain, classes)[0] == pytest.approx(0, abs=1e-6)


def test_the_boundary_term_is_least_for_the_truth(draw, ours):
    """Among all labellings: each voxel adds its signed distance if it is taken."""
    labels = Labels(values={"background": 0, "kidney": 1})
    logits, classes = draw(labels)
    certain = np.stack([np.where(classes == index, 60.0, -60.0) for index in range(2)], axis=1)
    best, _ = ours([Boundary()], labels, certain, classes)
    flipped = np.where(np.random.default_rng(0).random(classes.shape)[:, None] < 0.2, -certain, certain)
    assert best < 0 and best < ours([Boundary()], labels, flipped, classes)[0]


# --- MONAI


def shares(classes, labels):
    groups = labels.target_classes.values() if labels.regions else [(index,) for index in range(4)]
    return torch.tensor(np.stack([np.isin(classes, group) for group in groups], axis=1), dtype=torch.float32)


def tail(losses, name, labels, **options):
    regions = bool(labels.regions)
    made = getattr(losses, name)(include_background=regions, softmax=not regions, sigmoid=regions, **options)
    return lambda x, q: made(x, q)


ONE = {"smooth_nr": 1e-5, "smooth_dr": 1e-5}
TWO = {"smooth_nr": 2e-5, "smooth_dr": 2e-5}  # their Jaccard index has all sums twice
MONAI = {
    "dice": ("DiceLoss", ONE),
    "dice, batch": ("DiceLoss", ONE | {"batch": True}),
    "dice of regions": ("DiceLoss", ONE),
    "dice, squared": ("DiceLoss", ONE | {"squared_pred": True}),
    "jaccard": ("DiceLoss", TWO | {"jaccard": True}),
    "generalised dice of regions": ("GeneralizedDiceLoss", {"smooth_nr": 0.0, "smooth_dr": 1e-12}),
    "tversky": ("TverskyLoss", ONE | {"alpha": 0.3, "beta": 0.7}),
    "tversky of regions": ("TverskyLoss", ONE | {"alpha": 0.5, "beta": 0.5}),
}


@pytest.mark.parametrize("term", MONAI)
def test_value_and_gradient_against_monai(draw, ours, term):
    losses = pytest.importorskip("monai.losses")
    name, options = MONAI[term]
    labels, term = TERMS[term]
    if name == "GeneralizedDiceLoss":
        term = term.model_copy(update={"smooth": 0.0})
    logits, classes = draw(labels)
    if name == "DiceLoss":
        classes[0][classes[0] == 3] = 0  # a label that one patch lacks
    value, gradient = ours([term], labels, logits, classes)
    x = torch.tensor(logits, dtype=torch.float32, requires_grad=True)
    theirs = tail(losses, name, labels, **options)(x, shares(classes, labels))
    theirs.backward()
    assert value == pytest.approx(theirs.item(), rel=1e-5)
    torch.testing.assert_close(torch.tensor(gradient), x.grad, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("labels", [CLASSES, REGIONS], ids=["classes", "regions"])
def test_focal_against_monai(draw, ours, labels):
    """Their mean is over the classes, too."""
    losses = pytest.importorskip("monai.losses")
    logits, classes = draw(labels)
    value, gradient = ours([Focal(gamma=2.0)], labels, logits, classes)
    x = torch.tensor(logits, dtype=torch.float32, requires_grad=True)
    made = losses.FocalLoss(gamma=2.0, use_softmax=not labels.regions)
    theirs = (1 if labels.regions else 4) * made(x, shares(classes, labels))
    theirs.backward()
    assert value == pytest.approx(theirs.item(), rel=1e-5)
    torch.testing.assert_close(torch.tensor(gradient), x.grad, rtol=1e-4, atol=1e-7)
