"""The planner against the plans nnU-Net 2.8.1 derives from the same fingerprints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autoseg.dataset.labels import Labels
from autoseg.plan.plan import Budget, Stage
from autoseg.planner import derive_plan

REFERENCES = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "plan_references.json"
NORMALISATIONS = {"ZScoreNormalization": "zscore", "CTNormalization": "ct"}

pytestmark = pytest.mark.skipif(not REFERENCES.exists(), reason=f"needs nnU-Net's plans, {REFERENCES}")


def in_their_words(stage: Stage) -> dict[str, Any]:
    """Our stage in the terms of nnU-Net's plans."""
    normalisation = stage.preprocessing.normalisation
    return {
        "patch_size": list(stage.sampling.patch_size),
        "batch_size": stage.sampling.batch_size,
        "spacing": list(stage.preprocessing.spacing_mm),
        "batch_dice": next(term.over_batch for term in stage.loss if term.kind == "dice"),
        "normalization_schemes": [how.kind for how in normalisation],
        "use_mask_for_norm": [getattr(how, "inside_mask", False) for how in normalisation],
        "strides": [list(stride) for stride in stage.network.strides],
        "kernel_sizes": [list(kernel) for kernel in stage.network.kernels],
        "features_per_stage": list(stage.network.features),
    }


@pytest.mark.parametrize("memory_gb", [8, 24])
@pytest.mark.parametrize(
    ("dataset", "dimensions"),
    [
        ("hippocampus", 3),
        ("acdc_like", 3),
        ("liver_like", 3),
        ("brats_like", 3),
        ("em2d_like", 3),  # as slices 999 mm thick, which is how nnU-Net stores pictures
        ("em2d_like", 2),
    ],
)
def test_same_plan_as_nnunet(dataset, dimensions, memory_gb, make_fingerprint, unasked):
    reference = json.loads(REFERENCES.read_text())[dataset]
    theirs = reference["plans"][f"ExperimentPlanner@{memory_gb}"]
    measured, declared = reference["fingerprint"], reference["dataset"]
    spacings = [(1.0 if dimensions == 2 else z, y, x) for z, y, x in measured["spacings"]]
    fingerprint = make_fingerprint(
        spacings,
        measured["shapes_after_crop"],
        channels=tuple(declared["channel_names"].values()),
        labels=Labels(values=declared["labels"]),
        dimensions=dimensions,
        relative_size=measured["median_relative_size_after_cropping"],
    )

    plan = derive_plan(fingerprint, Budget(memory_gb=memory_gb), unasked)

    assert set(plan.stages) == {"2d", "3d_fullres"} & set(theirs)
    for name, stage in plan.stages.items():
        ours = in_their_words(stage)
        assert list(stage.preprocessing.axis_order) == theirs["transpose"]
        for field, value in ours.items():
            expected = theirs[name][field]
            if field == "normalization_schemes":
                expected = [NORMALISATIONS[scheme] for scheme in expected]
            assert value == expected, f"{name}.{field}"
