"""A plan as a person would write it: JSON with only what has no default."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from autoseg.plan import Plan, check_plan

PLAN: dict[str, Any] = {
    "format": 1,
    "dataset": {"name": "tiny", "channels": ["CT"], "labels": {"values": {"background": 0, "kidney": 1}}},
    "budget": {},
    "stages": {
        "2d": {
            "dimensions": 2,
            "preprocessing": {"spacing_mm": [1.0, 0.5], "normalisation": [{"kind": "zscore"}]},
            "network": {
                "kind": "plain_unet",
                "features": [4, 8],
                "kernels": [[3, 3], [3, 3]],
                "strides": [[1, 1], [2, 4]],
                "encoder_convolutions": [2, 2],
                "decoder_convolutions": [2],
            },
            "sampling": {"patch_size": [16, 24], "batch_size": 2},
            "augmentation": [
                {"kind": "spatial", "rotation_degrees": [{"low": -180, "high": 180}]},
                {"kind": "noise"},
                {"kind": "mirror", "axes": [0, 1]},
            ],
            "loss": [{"kind": "cross_entropy"}, {"kind": "dice", "over_batch": True}],
        }
    },
}


@pytest.fixture
def data() -> dict[str, Any]:
    """To be changed at will."""
    return copy.deepcopy(PLAN)


@pytest.fixture
def plan() -> Plan:
    return check_plan(PLAN, "plan.json")
