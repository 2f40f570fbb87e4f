"""Whole plans: complete, explained, repeatable."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from autoseg.dataset.labels import Labels, Region
from autoseg.errors import PlanError
from autoseg.fingerprint.model import LabelFacts
from autoseg.plan.plan import Budget, Plan
from autoseg.plan.previous import Previous
from autoseg.planner import derive_plan


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


@pytest.fixture
def abdomen(make_fingerprint):
    """Large enough for a stage at a low resolution."""
    return make_fingerprint([(1.0, 1.0, 1.0)] * 20, [(400, 400, 400)] * 20, channels=("CT",))


@pytest.mark.parametrize("minutes", [None, 10])
@pytest.mark.parametrize("preset", ["standard", "nnunet", "nnunet-resenc-m"])
@pytest.mark.parametrize("facts", ["hippocampus", "abdomen"])
def test_every_value_of_a_stage_has_its_decision(facts, preset, minutes, request, make_machine):
    facts = request.getfixturevalue(facts)
    plan = derive_plan(facts, Budget(minutes=minutes), make_machine(arithmetic), preset=preset)
    data = plan.model_dump(mode="json")
    found = {f"stages.{name}.{path}": value for name, stage in data["stages"].items() for path, value in fields(stage)}
    of_values = {path: decision for path, decision in plan.decisions.items() if not path.endswith(".memory")}
    assert set(found) == set(of_values)
    for path, decision in of_values.items():
        assert decision.value == found[path], path
        assert decision.rule
        assert decision.reason.endswith("."), path


@pytest.mark.parametrize("preset", ["standard", "nnunet", "nnunet-resenc-l"])
def test_the_cascade_is_the_stage_at_full_resolution_after_the_one_at_low(abdomen, unasked, preset):
    plan = derive_plan(abdomen, Budget(), unasked, preset=preset)
    assert list(plan.stages) == ["2d", "3d_lowres", "3d_fullres", "3d_cascade"]
    cascade, volumes = plan.stages["3d_cascade"], plan.stages["3d_fullres"]
    assert cascade.previous == Previous(stage="3d_lowres", as_channels=True)
    *same, borders, parts = cascade.augmentation
    assert (borders.kind, parts.kind) == ("previous_binary", "previous_components")
    assert cascade.model_copy(update={"previous": None, "augmentation": tuple(same)}) == volumes
    assert plan.stages["3d_lowres"].previous is None
    assert plan.stages["3d_lowres"].preprocessing.spacing_mm > volumes.preprocessing.spacing_mm
    over_batch = {name: stage.loss[1].over_batch for name, stage in plan.stages.items()}
    assert over_batch == {"2d": True, "3d_lowres": False, "3d_fullres": True, "3d_cascade": True}


@pytest.mark.parametrize("orientation", ["LPS", None])
def test_a_short_cascade_relies_on_what_was_predicted_whether_or_not_the_images_have_an_orientation(
    make_fingerprint, make_machine, orientation
):
    """A fingerprint of nnU-Net's has none."""
    cubes = make_fingerprint([(1.0, 1.0, 1.0)] * 20, [(96, 96, 96)] * 20, orientation=orientation)
    cascade = derive_plan(cubes, Budget(minutes=2), make_machine(arithmetic)).stages["3d_cascade"]
    varied = [transform.kind for transform in cascade.augmentation]
    assert not {"previous_binary", "previous_components"} & set(varied)
    assert ("mirror" in varied) is (orientation is None)


def test_standard_is_the_default(hippocampus, unasked):
    assert derive_plan(hippocampus, Budget(), unasked) == derive_plan(hippocampus, Budget(), unasked, preset="standard")


def test_ten_minutes_on_two_cores(hippocampus, make_machine):
    plan = derive_plan(hippocampus, Budget(minutes=10), make_machine(arithmetic), name="quick")
    stage = plan.stages["3d_fullres"]
    assert plan.name == "quick"
    assert stage.network.features == (16, 32, 64, 128)
    assert stage.sampling.batch_size == 4
    assert stage.sampling.patch_size == (32, 48, 32)
    assert stage.training.precision == "bfloat16"
    assert stage.training.minutes == 10
    assert (stage.training.iterations_per_epoch, stage.training.validation_iterations) == (81, 8)
    for value in ("sampling.batch_size", "network.features"):
        assert plan.decisions[f"stages.3d_fullres.{value}"].rule == "fit_time"
    assert plan.decisions["stages.3d_fullres.sampling.patch_size"].rule == "trim_patch"


def test_a_low_resolution_where_patches_are_small_for_want_of_time(make_fingerprint, make_machine, unasked):
    """Patches of 96³ fit the memory and hold the image; in the time, those of a 27th of it."""
    cubes = make_fingerprint([(1.0, 1.0, 1.0)] * 20, [(96, 96, 96)] * 20)
    assert list(derive_plan(cubes, Budget(), unasked).stages) == ["2d", "3d_fullres"]
    in_a_day = derive_plan(cubes, Budget(minutes=1440), make_machine(arithmetic))
    assert list(in_a_day.stages) == ["2d", "3d_fullres"]
    hurried = derive_plan(cubes, Budget(minutes=2), make_machine(arithmetic))
    assert list(hurried.stages) == ["2d", "3d_lowres", "3d_fullres", "3d_cascade"]
    voxels = {name: math.prod(stage.sampling.patch_size) for name, stage in hurried.stages.items()}
    assert voxels["3d_fullres"] < 0.25 * 96**3
    low = hurried.stages["3d_lowres"].preprocessing.spacing_mm
    assert low is not None and min(low) > 1.2
    assert hurried.decisions["stages.3d_lowres.preprocessing.spacing_mm"].facts["most_voxels"] == voxels["3d_fullres"]
    as_nnunet = derive_plan(cubes, Budget(minutes=2), make_machine(arithmetic), preset="nnunet")
    assert list(as_nnunet.stages) == ["2d", "3d_fullres"]


def test_the_stages_measured_are_those_that_would_be_trained(hippocampus, make_machine):
    measured = []

    def remember(stage, description):
        assert description == hippocampus.dataset
        measured.append(stage)
        return arithmetic(stage, description)

    plan = derive_plan(hippocampus, Budget(minutes=10), make_machine(remember))
    for stage in plan.stages.values():
        assert any(
            (stage.network, stage.sampling, stage.loss, stage.training.precision)
            == (other.network, other.sampling, other.loss, other.training.precision)
            for other in measured
        )


def test_same_input_same_bytes(hippocampus, make_machine):
    plans = [derive_plan(hippocampus, Budget(minutes=10), make_machine(arithmetic)).model_dump_json() for _ in range(2)]
    assert plans[0] == plans[1]


def test_a_plan_read_back_is_the_plan(hippocampus, make_machine):
    plan = derive_plan(hippocampus, Budget(minutes=10), make_machine(arithmetic))
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
    plan = derive_plan(coronal, Budget(), unasked, preset="nnunet")
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


# Facts of the dataset that change a plan of ours


def test_turned_cases_count_along_the_axes_they_are_turned_to(make_fingerprint, unasked):
    """Two of five cases are stored with the slices along x. Unturned, the median would mix thick slices and pixels."""
    axial, sagittal = (5.0, 1.0, 0.9), (1.0, 0.9, 5.0)
    facts = make_fingerprint([axial] * 3 + [sagittal] * 2, [(20, 256, 240)] * 3 + [(256, 240, 20)] * 2)
    turned = tuple(
        case.model_copy(update={"orientation": "LPS" if case.spacing_mm == axial else "SLP"}) for case in facts.cases
    )
    plan = derive_plan(facts.model_copy(update={"cases": turned}), Budget(), unasked)
    volumes = plan.stages["3d_fullres"].preprocessing
    assert (volumes.orientation, volumes.axis_order, volumes.spacing_mm) == ("LPS", (0, 1, 2), axial)
    assert plan.stages["2d"].preprocessing.spacing_mm == (1.0, 0.9)
    spacing = plan.decisions["stages.3d_fullres.preprocessing.spacing_mm"]
    assert (spacing.facts["median_spacing_mm"], spacing.facts["median_shape"]) == ([5.0, 1.0, 0.9], [20, 256, 240])
    assert plan.warnings == derive_plan(make_fingerprint([axial] * 5, [(20, 256, 240)] * 5), Budget(), unasked).warnings
    as_stored = derive_plan(facts.model_copy(update={"cases": turned}), Budget(), unasked, preset="nnunet")
    assert as_stored.stages["3d_fullres"].preprocessing.orientation is None


def label(share_of_cases: float, voxels: int) -> LabelFacts:
    return LabelFacts(values=(1,), voxels=voxels, share_of_cases=share_of_cases, volume_mm3=None, components=None)


@pytest.mark.parametrize(
    ("anterior", "posterior", "preset", "expected"),
    [
        (label(1.0, 1000), label(1.0, 900), "standard", "by_case"),
        (label(1.0, 1000), label(0.2, 900), "standard", "by_label"),  # in few cases
        (label(1.0, 1000), label(1.0, 9), "standard", "by_label"),  # few voxels
        (label(1.0, 1000), label(0.2, 900), "nnunet", "by_case"),
    ],
)
def test_rare_labels_are_sampled_by_label(hippocampus, unasked, anterior, posterior, preset, expected):
    facts = hippocampus.model_copy(update={"labels": {"anterior": anterior, "posterior": posterior}})
    plan = derive_plan(facts, Budget(), unasked, preset=preset)
    assert {stage.sampling.foreground for stage in plan.stages.values()} == {expected}


def test_an_outlier_gets_a_warning_that_names_the_case(make_fingerprint, unasked):
    spacings_mm = [(1.0, 1.0, 1.0)] * 19 + [(10.0, 1.0, 1.0)]
    plan = derive_plan(make_fingerprint(spacings_mm, [(36, 50, 35)] * 20), Budget(device="cuda"), unasked)
    (warning,) = plan.warnings
    assert warning.startswith("Case 'case_019' has voxels of 10 mm along z, 10 times the median of the 20 cases, 1 mm.")


def test_without_images_the_plan_says_what_was_not_measured(hippocampus, unasked):
    facts = hippocampus.model_copy(update={"intensities": ()})
    plan = derive_plan(facts, Budget(device="cuda"), unasked)
    (warning,) = plan.warnings
    assert warning.startswith("No intensities were measured, for there are no images: derive the plan again")
    for name in plan.stages:
        crop = plan.decisions[f"stages.{name}.preprocessing.crop_to_nonzero"].reason
        assert crop == (
            "Borders in which every channel is 0 tell nothing, so they are cut off. How much of an image is left "
            "without them was not measured, for there are no images."
        )
    measured = derive_plan(hippocampus, Budget(device="cuda"), unasked)
    assert measured.warnings == ()
    crop = measured.decisions["stages.2d.preprocessing.crop_to_nonzero"].reason
    assert crop == (
        "Borders in which every channel is 0 tell nothing, so they are cut off. Without them 100 % of the median image "
        "is left."
    )


@pytest.mark.parametrize(
    ("device", "minutes", "preset", "warned"),
    [
        ("cpu", None, "standard", True),
        ("cpu", 10, "standard", False),
        ("cuda", None, "standard", False),
        ("cpu", None, "nnunet", False),
    ],
)
def test_long_trainings_on_a_processor_get_a_warning(hippocampus, make_machine, device, minutes, preset, warned):
    plan = derive_plan(hippocampus, Budget(device=device, minutes=minutes), make_machine(arithmetic), preset=preset)
    expected = (
        "No time limit is set, and 1000 epochs of 250 iterations take a processor days to weeks: --minutes plans for "
        "the time there is."
    )
    assert plan.warnings == ((expected,) if warned else ())


@pytest.mark.parametrize(("minutes", "kind"), [(10, "plain_unet"), (None, "residual_encoder_unet")])
def test_networks_are_plain_where_minutes_count(abdomen, make_machine, minutes, kind):
    plan = derive_plan(abdomen, Budget(minutes=minutes), make_machine(arithmetic))
    assert {stage.network.kind for stage in plan.stages.values()} == {kind}
    assert {stage.training.minutes for stage in plan.stages.values()} == {minutes}


def test_nothing_is_timed_before_everything_fits(abdomen, unasked):
    """Timing costs seconds a network; that the memory is too small is said before."""
    with pytest.raises(PlanError, match="needs 0.55[0-9] GB"):
        derive_plan(abdomen, Budget(memory_gb=0.1, minutes=10), unasked)
