"""The hand-set plans that come with autoseg are valid, and listed where people look."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from autoseg.networks import build_network
from autoseg.plan import read_plan

PLANS = Path(__file__).resolve().parents[2] / "plans"
FILES = sorted(PLANS.glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_plan(path):
    plan = read_plan(path)
    assert plan.name == path.stem
    assert f"`{path.name}`" in (PLANS / "README.md").read_text()
    for stage in plan.stages.values():
        outputs = plan.dataset.labels.outputs
        network = build_network(stage.network, len(plan.dataset.channels), outputs).eval()
        size = tuple(2 * by for by in stage.network.divisor)
        with torch.inference_mode():
            logits = network(torch.zeros(1, len(plan.dataset.channels), *size))
        assert logits[0].shape == (1, outputs, *size)


def test_there_are_shipped_plans():
    assert FILES
