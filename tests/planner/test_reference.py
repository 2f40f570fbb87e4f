"""The planner against the plans nnU-Net 2.8.1 derives from the same fingerprints, field by field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autoseg.dataset.labels import Labels
from autoseg.plan.plan import Budget, Plan, Stage
from autoseg.planner import derive_plan

PLANNERS = {
    "nnunet": "ExperimentPlanner",
    "nnunet-resenc-m": "nnUNetPlannerResEncM",
    "nnunet-resenc-l": "nnUNetPlannerResEncL",
    "nnunet-resenc-xl": "nnUNetPlannerResEncXL",
}
STAGES = {"2d": "2d", "3d_lowres": "3d_lowres", "3d_fullres": "3d_fullres", "3d_cascade_fullres": "3d_cascade"}
NORMALISATIONS = {"ZScoreNormalization": "zscore", "CTNormalization": "ct"}


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


def expected_stages(theirs: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What nnU-Net says of each of our stages; a cascade inherits from the stage at full resolution."""
    found = {}
    for name, ours in STAGES.items():
        if name in theirs:
            own = theirs[name]
            whole = {**theirs[own["inherits_from"]], **own} if "inherits_from" in own else own
            schemes = [NORMALISATIONS[scheme] for scheme in whole["normalization_schemes"]]
            found[ours] = {**whole, "normalization_schemes": schemes}
    return found


@pytest.fixture
def references(real_data):
    """Dataset → what nnU-Net measured, and the plans it derived."""
    return json.loads(real_data("plan_references.json").read_text())


@pytest.fixture
def derive(references, make_fingerprint, unasked):
    def plan_for(dataset: str, planner: str, memory_gb: float, dimensions: int = 3) -> tuple[Plan, dict[str, Any]]:
        reference = references[dataset]
        measured, declared = reference["fingerprint"], reference["dataset"]
        fingerprint = make_fingerprint(
            [(1.0 if dimensions == 2 else z, y, x) for z, y, x in measured["spacings"]],
            measured["shapes_after_crop"],
            channels=tuple(declared["channel_names"].values()),
            labels=Labels(values=declared["labels"]),
            dimensions=dimensions,
            relative_size=measured["median_relative_size_after_cropping"],
        )
        theirs = reference["plans"][f"{PLANNERS.get(planner, 'ExperimentPlanner')}@{memory_gb}"]
        return derive_plan(fingerprint, Budget(memory_gb=memory_gb), unasked, preset=planner), theirs

    return plan_for


@pytest.mark.parametrize(
    ("preset", "memory_gb"),
    [
        ("nnunet", 8),
        ("nnunet", 24),
        ("nnunet-resenc-m", 8),
        ("nnunet-resenc-m", 9),
        ("nnunet-resenc-l", 24),
        ("nnunet-resenc-xl", 40),
    ],
)
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
def test_same_plan_as_nnunet(dataset, dimensions, preset, memory_gb, derive):
    plan, theirs = derive(dataset, preset, memory_gb, dimensions)
    expected = expected_stages(theirs)
    assert list(plan.stages) == list(expected)
    for name, stage in plan.stages.items():
        assert list(stage.preprocessing.axis_order) == theirs["transpose"]
        ours = in_their_words(stage)
        assert ours == {field: expected[name][field] for field in ours}, name
        assert (stage.previous and stage.previous.stage) == expected[name].get("previous_stage")


def test_every_plan_of_the_file_is_compared(references):
    in_file = {plan for reference in references.values() for plan in reference["plans"]}
    [marks] = [mark.args[1] for mark in test_same_plan_as_nnunet.pytestmark if mark.args[0] == ("preset", "memory_gb")]
    assert {f"{PLANNERS[preset]}@{memory_gb}" for preset, memory_gb in marks} == in_file
    [datasets] = [
        mark.args[1] for mark in test_same_plan_as_nnunet.pytestmark if mark.args[0] != ("preset", "memory_gb")
    ]
    assert {dataset for dataset, _ in datasets} == set(references)
