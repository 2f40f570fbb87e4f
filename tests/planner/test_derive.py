"""Whole plans: complete, explained, repeatable."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from autoseg.dataset.labels import Labels, Region
from autoseg.plan.plan import Budget, Plan
from autoseg.planner import Machine, derive_plan


def arithmetic(stage, description) -> float:
    """0.45 s for 16 features and 4 patches of 40 × 56 × 40, as two processor cores need."""
    voxels = stage.sampling.batch_size * math.prod(stage.sampling.patch_size)
    return 0.45 * (stage.network.features[0] / 16) ** 2 * voxels / (4 * 40 * 56 * 40)


def fields(stage: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Path → value of everything a stage says; a choice between kinds, or a list, is one value."""
    for name, value in stage.items():
        if isinstance(value, dict) and name not in ("optimizer", "schedule"):
            yield from ((f"{name}.{path}", inner) for path, inner in fields(value))
        else:
            yield name, value


@pytest.mark.parametrize("minutes", [None, 10])
def test_every_value_of_a_stage_has_its_decision(hippocampus, minutes):
    plan = derive_plan(hippocampus, Budget(minutes=minutes), Machine("bfloat16", arithmetic))
    data = plan.model_dump(mode="json")
    found = {f"stages.{name}.{path}": value for name, stage in data["stages"].items() for path, value in fields(stage)}
    assert set(found) == set(plan.decisions)
    for path, decision in plan.decisions.items():
        assert decision.value == found[path], path
        assert decision.rule
        assert decision.reason.endswith("."), path


def test_ten_minutes_on_two_cores(hippocampus):
    plan = derive_plan(hippocampus, Budget(minutes=10), Machine("bfloat16", arithmetic), name="quick")
    stage = plan.stages["3d_fullres"]
    assert plan.name == "quick"
    assert stage.network.features == (16, 32, 64, 128)
    assert stage.sampling.batch_size == 4
    assert stage.sampling.patch_size == (40, 56, 40)
    assert stage.training.precision == "bfloat16"
    assert stage.training.minutes == 10
    assert (stage.training.iterations_per_epoch, stage.training.validation_iterations) == (44, 4)
    for value in ("sampling.batch_size", "network.features"):
        assert plan.decisions[f"stages.3d_fullres.{value}"].rule == "fit_time"
    assert plan.decisions["stages.3d_fullres.sampling.patch_size"].rule == "fit_patch"


def test_the_stages_measured_are_those_that_would_be_trained(hippocampus):
    measured = []

    def remember(stage, description):
        assert description == hippocampus.dataset
        measured.append(stage)
        return arithmetic(stage, description)

    plan = derive_plan(hippocampus, Budget(minutes=10), Machine("bfloat16", remember))
    for stage in plan.stages.values():
        assert any(
            (stage.network, stage.sampling, stage.loss, stage.training.precision)
            == (other.network, other.sampling, other.loss, other.training.precision)
            for other in measured
        )


def test_same_input_same_bytes(hippocampus):
    plans = [
        derive_plan(hippocampus, Budget(minutes=10), Machine("bfloat16", arithmetic)).model_dump_json()
        for _ in range(2)
    ]
    assert plans[0] == plans[1]


def test_a_plan_read_back_is_the_plan(hippocampus):
    plan = derive_plan(hippocampus, Budget(minutes=10), Machine("bfloat16", arithmetic))
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_pictures_have_no_volumes(make_fingerprint, unasked):
    pictures = make_fingerprint(
        [(1.0, 0.5, 0.7)] * 30, [(1, 512, 512)] * 30, dimensions=2, orientation=None, channels=("grey",)
    )
    plan = derive_plan(pictures, Budget(), unasked)
    assert list(plan.stages) == ["2d"]
    assert plan.stages["2d"].preprocessing.spacing_mm == (0.5, 0.7)
    assert plan.stages["2d"].preprocessing.axis_order == (0, 1, 2)
    assert plan.stages["2d"].inference.mirror_axes == (0, 1)


def test_coarse_axis_comes_first(make_fingerprint, unasked):
    coronal = make_fingerprint([(0.8, 4.0, 0.9)] * 20, [(256, 20, 240)] * 20)
    plan = derive_plan(coronal, Budget(), unasked)
    volume, slices = plan.stages["3d_fullres"], plan.stages["2d"]
    assert volume.preprocessing.axis_order == slices.preprocessing.axis_order == (1, 0, 2)
    assert volume.preprocessing.spacing_mm == (4.0, 0.8, 0.9)
    assert slices.preprocessing.spacing_mm == (0.8, 0.9)
    assert volume.sampling.patch_size == (20, 256, 256)
    assert volume.augmentation[0].in_plane


def test_one_slice_thinner_than_its_pixels(make_fingerprint, unasked):
    plan = derive_plan(make_fingerprint([(0.5, 1.0, 1.0)] * 20, [(1, 256, 240)] * 20), Budget(), unasked)
    assert list(plan.stages) == ["2d"]
    assert plan.stages["2d"].preprocessing.axis_order == (0, 1, 2)
    assert plan.stages["2d"].preprocessing.spacing_mm == (1.0, 1.0)


def test_left_and_right_are_not_mirrored(make_fingerprint, unasked):
    kidneys = Labels(values={"background": 0, "kidney_left": 1, "kidney_right": 2})
    plan = derive_plan(make_fingerprint([(1.0, 1.0, 1.0)] * 5, [(64, 64, 64)] * 5, labels=kidneys), Budget(), unasked)
    for name, axes in (("3d_fullres", (0, 1)), ("2d", (0,))):
        assert plan.stages[name].inference.mirror_axes == axes
        assert plan.stages[name].augmentation[-1].axes == axes


def test_regions(make_fingerprint, unasked):
    regions = Labels(
        values={"background": 0, "oedema": 1, "core": 2},
        regions={"whole": Region(values=(1, 2), paint=1), "core": Region(values=(2,), paint=2)},
    )
    plan = derive_plan(make_fingerprint([(1.0, 1.0, 1.0)] * 5, [(64, 64, 64)] * 5, labels=regions), Budget(), unasked)
    assert [term.kind for term in plan.stages["3d_fullres"].loss] == ["binary_cross_entropy", "dice"]
