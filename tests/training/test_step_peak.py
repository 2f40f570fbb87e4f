"""The memory of real steps, and what is said of it."""

from __future__ import annotations

import logging

import pytest
import torch

from autoseg.dataset import Description, Labels
from autoseg.training.augmentation import Batch
from autoseg.training.memory import training_bytes
from autoseg.training.step import make_learner, take_step
from autoseg.training.step_peak import log_step_memory, step_peak

DATASET = Description(name="balls", channels=("MR",), labels=Labels(values={"background": 0, "ball": 1, "box": 2}))


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("kind", ["sgd", "adamw"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_real_step_takes_what_was_predicted(make_stage, cpu, dimensions, kind, precision):
    """From the second on, when the optimiser remembers."""
    stage = make_stage(dimensions, optimizer={"kind": kind}, training={"precision": precision})
    learner = make_learner(stage, 1, DATASET.labels, cpu)
    shape = (stage.sampling.batch_size, *stage.sampling.patch_size)
    batch = Batch(torch.randn(shape[0], 1, *shape[1:]), torch.randint(0, 3, shape, dtype=torch.int16))
    twin = make_learner(stage, 1, DATASET.labels, cpu)
    watched = [step_peak(lambda: take_step(learner, batch, 0.01), learner, batch) for _ in range(3)]
    peaks = [peak for _, peak in watched]
    assert [loss for loss, _ in watched] == [take_step(twin, batch, 0.01) for _ in range(3)]  # watching changes nothing
    assert peaks[0] <= peaks[1] == peaks[2]
    assert training_bytes(stage, DATASET, cpu) == pytest.approx(peaks[1], rel=0.01)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_gpu_is_asked_for_its_own_count(make_stage):
    learner = make_learner(make_stage(2), 1, DATASET.labels, torch.device("cuda"))
    images, classes = torch.randn(2, 1, 16, 16, device="cuda"), torch.zeros(2, 16, 16, dtype=torch.int16, device="cuda")
    batch = Batch(images, classes)
    _, peak = step_peak(lambda: take_step(learner, batch, 0.01), learner, batch)
    assert peak == torch.cuda.max_memory_allocated()


@pytest.mark.parametrize(
    ("predicted", "measured", "level", "text"),
    [
        (2_310_000_000, 2_290_000_000, "INFO", "memory of a step: predicted 2.31 GB, measured 2.29 GB"),
        (1_800_000, 2_000_000, "INFO", "memory of a step: predicted 0.0018 GB, measured 0.002 GB"),
        (
            2_310_000_000,
            2_910_000_000,
            "WARNING",
            "memory of a step: predicted 2.31 GB, measured 2.91 GB: more than 10 % off. Plans for this machine may not "
            "fit its memory, or leave some of it unused; autoseg plan … --memory GB --name NAME derives one for less "
            "or for more.",
        ),
        (3_000_000_000, 2_000_000_000, "WARNING", "memory of a step: predicted 3 GB, measured 2 GB: more than 10 %"),
    ],
)
def test_what_is_said(caplog, predicted, measured, level, text):
    with caplog.at_level(logging.INFO, logger="autoseg"):
        log_step_memory(predicted, measured)
    (record,) = caplog.records
    assert record.levelname == level
    assert record.message.startswith(text) if text.endswith("10 %") else record.message == text
