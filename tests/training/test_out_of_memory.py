"""What would have fitted, on a GPU made of arithmetic: half a gigabyte, and one more a patch."""

from __future__ import annotations

import pytest
import torch

from autoseg.errors import TrainingError
from autoseg.training import out_of_memory
from autoseg.training.out_of_memory import explained


@pytest.mark.parametrize(
    ("had_gb", "remedy"),
    [
        (8.0, "A batch of 7 would fit: --set stages.3d.sampling.batch_size=7."),  # 7.5 of 7.6 GB
        (7.5, "A batch of 6 would fit: --set stages.3d.sampling.batch_size=6."),  # 7.5 of 7.125 GB were too many
        (1.5, "Derive a plan for less memory (autoseg plan … --memory 1.4 --name NAME)."),  # one takes 1.5
    ],
)
def test_the_remedy(make_stage, make_plan, monkeypatch, had_gb, remedy):
    def training_bytes(stage, dataset, device):
        asked.append(stage.sampling.batch_size)
        return (0.5 + stage.sampling.batch_size) * 1e9

    asked: list[int] = []
    monkeypatch.setattr(out_of_memory, "training_bytes", training_bytes)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: int(had_gb * 1e9))
    stage = make_stage(sampling={"batch_size": 32})
    message = "CUDA out of memory. Tried to allocate 2.00 GiB."
    with (
        pytest.raises(TrainingError) as refused,
        explained(stage, "3d", make_plan(stage).dataset, torch.device("cuda")),
    ):
        raise torch.OutOfMemoryError(f"{message}\nMore.")
    assert str(refused.value) == (
        "the memory of cuda ran out on a batch of 32 patches of 8 × 16 × 16 voxels: a step was predicted to take "
        f"32.50 GB, and {had_gb:.2f} GB could be had ({message}). {remedy} End what else uses the device, if anything "
        "does. The last checkpoint is kept."
    )
    assert len(asked) <= 1 + 5  # the prediction, and by halves
