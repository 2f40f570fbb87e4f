"""Loss and Dice of whole cases each epoch, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autoseg.dataset import Labels
from autoseg.dataset.description import Description
from autoseg.dataset.labels import IGNORE_CLASS, Region
from autoseg.training import fit
from autoseg.training.job import Job
from autoseg.training.step import make_learner
from autoseg.training.whole_validation import validate_on_cases

LABELS = Labels(values={"background": 0, "ball": 1, "box": 2, "speck": 3})
REGIONS = Labels(
    values={"background": 0, "rim": 1, "core": 2},
    regions={"whole": Region(values=(1, 2), paint=1), "core": Region(values=(2,), paint=2)},
)
SURE = 2.0  # logit of what a voxel is said to be; of what it is not, -2


class Repeats(torch.nn.Module):
    """Says that every voxel is what its intensity says."""

    def __init__(self, groups):
        super().__init__()
        self.groups = [torch.tensor(group) for group in groups]

    def forward(self, images):
        assert not self.training
        inside = [torch.isin(images[:, 0].round().long(), group) for group in self.groups]
        return (SURE * (2 * torch.stack(inside, dim=1).float() - 1),)


def drawn(seed, classes, shape, ignored):
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, shape).astype(np.int16)
    truth[generator.random(shape) < ignored] = IGNORE_CLASS
    return generator.integers(0, classes, (1, *shape)).astype(np.float32), truth


def dice(predicted, truth, group):
    known = truth != IGNORE_CLASS
    a, b = np.isin(predicted, group) & known, np.isin(truth, group) & known
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("labels", [LABELS, REGIONS], ids=["classes", "regions"])
def test_the_mean_over_whole_cases(dimensions, labels, make_stage, case_in_memory, cpu):
    kind = "binary_cross_entropy" if labels.regions else "cross_entropy"
    patch = (4, 4, 4)[-dimensions:]
    stage = make_stage(dimensions, sampling={"patch_size": patch}, loss=[{"kind": kind}])
    learner = make_learner(stage, 1, labels, cpu)
    groups = list(labels.target_classes.values()) if labels.regions else [(n,) for n in range(4)]
    learner.network = Repeats(groups).train()
    given = [drawn(seed, 3, shape, 0.1) for seed, shape in enumerate([(5, 9, 6), (2, 3, 11)])]  # nobody has a speck
    cases = [case_in_memory(str(n), image, truth) for n, (image, truth) in enumerate(given)]
    scores = validate_on_cases(learner, cases, Description(name="drawn", channels=("CT",), labels=labels))
    losses = []
    for image, truth in given:
        said = np.stack([np.isin(image[0], group) for group in groups]) * 2 * SURE - SURE
        known = truth != IGNORE_CLASS
        if labels.regions:
            wanted = np.stack([np.isin(truth, group) for group in groups])
            losses.append(np.log1p(np.exp(np.where(wanted, -said, said)))[:, known].mean())
        else:
            shares = np.exp(said) / np.exp(said).sum(axis=0)
            losses.append(-np.log(np.take_along_axis(shares, truth.clip(0)[None], 0)[0][known]).mean())
    assert scores.loss == pytest.approx(np.mean(losses), rel=1e-5)
    expected = {
        name: np.mean([dice(image[0], truth, group) for image, truth in given])
        for name, group in labels.target_classes.items()
        if name != "speck"
    }
    assert {name: value for name, value in scores.dice.items() if name != "speck"} == pytest.approx(expected)
    assert scores.dice.get("speck") is None
    assert scores.mean_dice == pytest.approx(np.mean(list(expected.values())))


def test_an_epoch_is_scored_on_the_first_cases(make_stage, make_plan, prepared, folder, cpu):
    stage = make_stage(training={"epochs": 1, "validation_cases": 2})
    plan = make_plan(stage)
    trained = fit(Job(plan, "tiny", 0, prepared[:2], prepared[2:], folder, cpu, workers=0))
    learner = make_learner(stage, 1, plan.dataset.labels, cpu)
    learner.network.load_state_dict(trained.weights)
    [row] = (folder / "log.jsonl").read_text().splitlines()
    expected = validate_on_cases(learner, prepared[2:4], plan.dataset)
    assert f'"validation_loss": {expected.loss}' in row and f'"mean_dice": {expected.mean_dice}' in row
    others = validate_on_cases(learner, prepared[3:5], plan.dataset)
    assert others.loss != expected.loss
