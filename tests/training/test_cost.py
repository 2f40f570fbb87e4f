from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from autoseg.dataset.description import Description
from autoseg.dataset.labels import Labels, Region
from autoseg.training import seconds_per_iteration
from autoseg.training.augmentation import make_batch

CLASSES = Labels(values={"background": 0, "kidney": 1, "tumour": 2})
REGIONS = Labels(
    values={"background": 0, "rim": 1, "core": 2},
    regions={"whole": Region(values=(1, 2), paint=1), "core": Region(values=(2,), paint=2)},
    ignore=3,
)


@pytest.mark.parametrize(
    ("seconds", "counted", "cost"),
    [
        pytest.param([0.5, 0.1, 0.2, 0.05, 0.1, 0.1, 0.01], 6, 0.05, id="one to warm up, five that count"),
        pytest.param([1.5, 0.4, 0.3, 0.35, 0.1], 4, 0.3, id="after a second that counts no more"),
        pytest.param([5.0, 4.0, 3.0], 2, 4.0, id="of a slow network one"),
    ],
)
def test_how_often_a_step_is_timed(make_stage, cpu, monkeypatch, seconds, counted, cost):
    batches, clock = [], [0.0]

    def step(learner, batch, learning_rate):
        clock[0] += seconds[len(batches)]
        batches.append(batch)

    monkeypatch.setattr("autoseg.training.cost.take_step", step)
    monkeypatch.setattr("autoseg.training.cost.time", SimpleNamespace(perf_counter=lambda: clock[0]))
    dataset = Description(name="two", channels=("T1", "T2"), labels=CLASSES)
    assert seconds_per_iteration(make_stage(sampling={"batch_size": 3}), dataset, cpu) == pytest.approx(cost)
    assert len(batches) == counted
    assert {batch.images.shape for batch in batches} == {(3, 2, 8, 16, 16)}
    assert set(batches[0].labels.unique().tolist()) == {0, 1, 2}


def test_copies_are_augmented_in_their_ways(make_stage, cpu, monkeypatch):
    turned = {"kind": "spatial", "rotation_probability": 1, "rotation_degrees": [{"low": 5, "high": 9}] * 3}
    copies = {"kind": "copies", "count": 2, "ways": [[turned], [turned, {"kind": "noise"}], [turned, {"kind": "blur"}]]}
    found = []

    def keep(samples, *others):
        found.extend(samples)
        return make_batch(samples, *others)

    monkeypatch.setattr("autoseg.training.cost.make_batch", keep)
    stage = make_stage(sampling={"batch_size": 6}, augmentation=[copies])
    seconds_per_iteration(stage, Description(name="one", channels=("CT",), labels=CLASSES), cpu)
    assert [sample.matrix is None for sample in found[:6]] == [True, False, False] * 2
    assert [sample.way is None for sample in found[:6]] == [True, False, False] * 2


@pytest.mark.parametrize("labels", [CLASSES, REGIONS], ids=["classes", "regions"])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_measured(make_stage, cpu, dimensions, labels):
    loss = [{"kind": "binary_cross_entropy" if labels.regions else "cross_entropy"}, {"kind": "dice"}]
    dataset = Description(name="one", channels=("CT",), labels=labels)
    before = torch.random.get_rng_state()
    assert 0 < seconds_per_iteration(make_stage(dimensions, loss=loss), dataset, cpu) < 5
    assert torch.equal(torch.random.get_rng_state(), before)
