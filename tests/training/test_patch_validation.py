"""The pooled Dice of an epoch, against one counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autoseg.dataset import Labels
from autoseg.dataset.labels import IGNORE_CLASS, Region
from autoseg.training.patch_source import TRAINING, VALIDATION, PatchSource
from autoseg.training.patch_validation import PatchScores, validate_on_patches
from autoseg.training.step import make_learner

LABELS = Labels(values={"background": 0, "ball": 1, "box": 2, "speck": 3})
REGIONS = Labels(
    values={"background": 0, "rim": 1, "core": 2},
    regions={"whole": Region(values=(1, 2), paint=1), "core": Region(values=(2,), paint=2)},
)


class Repeats(torch.nn.Module):
    """Says that every voxel is what its intensity says: class 2 where it is 2."""

    def __init__(self, labels):
        super().__init__()
        groups = labels.target_classes.values() if labels.regions else [(n,) for n in range(len(labels.classes))]
        self.groups = [torch.tensor(group) for group in groups]

    def forward(self, images):
        assert not self.training
        inside = [torch.isin(images[:, 0].round().long(), group) for group in self.groups]
        return (8.0 * (2 * torch.stack(inside, dim=1).float() - 1),)


def scores(make_stage, cpu, labels, cases, iterations):
    loss = [{"kind": "binary_cross_entropy"}] if labels.regions else [{"kind": "cross_entropy"}]
    stage = make_stage(2, sampling={"patch_size": (4, 4)}, loss=loss, training={"validation_iterations": iterations})
    learner = make_learner(stage, 1, labels, cpu)
    learner.network = Repeats(labels)
    source = PatchSource(cases, stage, VALIDATION)
    return validate_on_patches(learner, source, labels), source


def slices(case_in_memory, seeds, classes, ignored=0.0):
    """Cases of one slice as large as a patch: what is predicted (the image), and what is true."""
    for seed in seeds:
        generator = np.random.default_rng(seed)
        truth = generator.integers(0, classes, (1, 4, 4)).astype(np.int16)
        truth[generator.random(truth.shape) < ignored] = IGNORE_CLASS
        predicted = generator.integers(0, classes, (1, 1, 4, 4)).astype(np.float32)
        yield case_in_memory(str(seed), predicted, truth)


def dice(pairs, group):
    """2 |A ∩ B| / (|A| + |B|) over all patches taken together."""
    known = np.concatenate([truth != IGNORE_CLASS for _, truth in pairs])
    a = np.isin(np.concatenate([predicted for predicted, _ in pairs]), group)[known]
    b = np.isin(np.concatenate([truth for _, truth in pairs]), group)[known]
    return 2 * (a & b).sum() / (a.sum() + b.sum()) if a.any() or b.any() else None


@pytest.mark.parametrize("ignored", [0.0, 0.4])
@pytest.mark.parametrize("labels", [LABELS, REGIONS], ids=["classes", "regions"])
def test_dice_over_all_patches(make_stage, case_in_memory, cpu, labels, ignored):
    cases = list(slices(case_in_memory, range(4), 3, ignored))
    found, source = scores(make_stage, cpu, labels, cases, iterations=5)
    samples = [sample for iteration in range(5) for sample in source.batch(iteration)]
    pairs = [(sample.image[0], sample.labels) for sample in samples]
    expected = {name: dice(pairs, group) for name, group in labels.target_classes.items()}
    assert found.dice == {name: None if value is None else pytest.approx(value) for name, value in expected.items()}
    if labels is LABELS:
        assert found.dice["speck"] is None  # neither there nor predicted
    known = [value for value in expected.values() if value is not None]
    assert found.mean_dice == pytest.approx(np.mean(known))


def test_worked_out_by_hand(make_stage, case_in_memory, cpu):
    """Of 16 voxels the upper half is ball; the left half is predicted to be: half of each overlaps."""
    truth = np.zeros((1, 4, 4), dtype=np.int16)
    truth[0, :2] = 1
    predicted = np.zeros((1, 1, 4, 4), dtype=np.float32)
    predicted[0, 0, :, :2] = 1
    labels = Labels(values={"background": 0, "ball": 1})
    found, _ = scores(make_stage, cpu, labels, [case_in_memory("a", predicted, truth)], iterations=3)
    assert found.dice == {"ball": pytest.approx(0.5)}
    # Half of the voxels are right, each of 8 against -8; the others are wrong, as certain.
    assert found.loss == pytest.approx((np.log1p(np.exp(-16)) + np.log1p(np.exp(16))) / 2, rel=1e-5)


@pytest.mark.parametrize(
    ("by_target", "mean"), [({"a": 0.5, "b": None}, 0.5), ({"a": None}, None), ({"a": 0.2, "b": 0.4}, 0.3)]
)
def test_mean_over_what_has_a_dice(by_target, mean):
    assert PatchScores(0.0, by_target).mean_dice == (None if mean is None else pytest.approx(mean))


def test_the_same_patches_every_epoch_and_no_trace(make_stage, prepared, cpu):
    stage = make_stage()
    labels = Labels(values={"background": 0, "ball": 1, "box": 2})
    learner = make_learner(stage, 1, labels, cpu)
    before = {name: weights.clone() for name, weights in learner.network.state_dict().items()}
    source = PatchSource(prepared, stage, VALIDATION)
    first, second = (validate_on_patches(learner, source, labels) for _ in range(2))
    assert first == second
    assert all(torch.equal(weights, before[name]) for name, weights in learner.network.state_dict().items())
    assert all(parameter.grad is None for parameter in learner.network.parameters())
    assert validate_on_patches(learner, PatchSource(prepared, stage, TRAINING), labels) != first
