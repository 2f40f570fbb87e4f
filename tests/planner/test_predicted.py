"""What a stage is predicted to need: whose image, how many GB, and what is said of it."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.dataset import Image
from autoseg.errors import PlanError
from autoseg.fingerprint.model import CaseFacts
from autoseg.geometry import plain_grid
from autoseg.plan.plan import Budget, Decision
from autoseg.planner import derive_plan
from autoseg.planner.machine import Machine
from autoseg.planner.predicted import prediction_warnings, prepared_shape
from autoseg.preprocessing import prepare_image


class Needs:
    """2 GB for a step, 10 bytes a voxel for a prediction; remembers the images."""

    def __init__(self):
        self.shapes = {}

    def training(self, stage, description):
        return 2_000_000_000

    def inference(self, stage, description, shape):
        name = "3d_cascade" if stage.previous else f"{stage.dimensions}d at {stage.preprocessing.spacing_mm}"
        self.shapes[name] = shape
        z, y, x = shape
        return 10 * z * y * x


@pytest.fixture
def needs():
    return Needs()


@pytest.fixture
def machine(needs):
    return Machine("bfloat16", lambda *_: 1.0, needs.training, needs.inference, margin=0.05)


def test_what_is_told(hippocampus, machine):
    plan = derive_plan(hippocampus, Budget(device="cuda", memory_gb=8), machine)
    decision = plan.decisions["stages.3d_fullres.memory"]
    assert decision.value == {"training_gb": 2.1, "inference_gb": pytest.approx(0.001, abs=5e-4)}
    assert decision.facts == {
        "traced_gb": 2.0,
        "margin": 0.05,
        "budget_gb": 8.0,
        "median_shape": [36, 50, 35],
        "image_gb": 0.0,  # 252 kB
    }
    assert decision.rule == "predicted_memory"
    assert decision.reason == (
        "A training step, gone through without computing, takes 2 GB at its peak, what libraries take while they "
        "convolve included. With a margin of 5 % for gaps between blocks of memory and the GPU's driver that is 2.1 of "
        "8 GB (26.2 %). Predicting the median image (36 × 50 × 35 voxels) takes 0.001 GB, margin included."
    )


def test_the_margin_on_a_processor_is_for_other_things(hippocampus, machine):
    told = derive_plan(hippocampus, Budget(device="cpu", memory_gb=8), machine).decisions["stages.2d.memory"].reason
    assert "With a margin of 5 % for memory that is not given back at once, cases being read" in told


def test_a_prediction_that_does_not_fit_is_told(make_fingerprint, machine):
    """10 bytes a voxel of 400³ and 5 % are 0.672 GB; a training step takes 2.1."""
    facts = make_fingerprint([(1.0, 1.0, 1.0)] * 20, [(400, 400, 400)] * 20)
    needs = machine._replace(training_bytes=lambda *_: 100_000_000)
    too_little = derive_plan(facts, Budget(device="cuda", memory_gb=0.6), needs)
    told = too_little.decisions["stages.3d_fullres.memory"].reason
    assert told.endswith("takes 0.672 GB, margin included, more than the 0.6 GB of the budget.")
    enough = derive_plan(facts, Budget(device="cuda", memory_gb=0.7), needs)
    assert enough.decisions["stages.3d_fullres.memory"].reason.endswith("takes 0.672 GB, margin included.")


def decided(rule, image_gb=0.0, **inference_gb):
    return {
        f"stages.{name}.memory": Decision(
            value={"training_gb": 5.0, "inference_gb": size}, rule=rule, facts={"image_gb": image_gb}, reason=""
        )
        for name, size in inference_gb.items()
    }


LARGER_VOXELS = "set larger voxels (--set stages.STAGE.preprocessing.spacing_mm=[…])"


@pytest.mark.parametrize(
    ("device", "image_gb", "remedy"),
    [
        # on the processor the image, once as it is and once padded, comes on top of the 12.06 GB
        ("cuda", 10.0, "predict on the processor (--device cpu), in about 32.1 GB of its memory"),
        ("cuda", 500.0, LARGER_VOXELS),
        ("cpu", 500.0, "predict where there is more memory"),  # the image is counted already
    ],
)
def test_one_warning_names_the_stages_that_do_not_fit(device, image_gb, remedy):
    decisions = decided("predicted_memory", image_gb, **{"2d": 8.0, "3d_fullres": 9.14, "3d_cascade": 12.06})
    assert prediction_warnings(decisions, Budget(device=device, memory_gb=8)) == [
        "Predicting an image of median size is expected to take 9.14 GB with 3d_fullres, 12.1 GB with 3d_cascade, and "
        f"the budget has 8 GB. It may fail, in the validation after training as well: {remedy}, or cut images to the "
        "part that matters."
    ]


def test_where_no_machine_has_the_memory_none_is_advised():
    [told] = prediction_warnings(decided("predicted_memory", **{"2d": 1200.0}), Budget(device="cpu", memory_gb=8))
    assert LARGER_VOXELS in told


def test_no_warning_where_all_fit_or_nothing_was_predicted():
    assert prediction_warnings(decided("predicted_memory", **{"2d": 8.0}), Budget(memory_gb=8)) == []
    assert prediction_warnings(decided("hand-set", **{"2d": 9.0}), Budget(memory_gb=8)) == []


def test_the_workspace_comes_on_top_of_a_prediction_too(make_fingerprint, machine):
    """10 bytes a voxel of 400³, and 5 %."""
    plan = derive_plan(make_fingerprint([(1.0, 1.0, 1.0)] * 20, [(400, 400, 400)] * 20), Budget(device="cuda"), machine)
    assert plan.decisions["stages.3d_fullres.memory"].value["inference_gb"] == 0.672


def test_slices_are_as_many_as_the_file_has(make_fingerprint, machine, needs):
    """Volumes are resampled to 2 mm across the slices (median of 1, 2 and 4), slices of a 2-D stage keep theirs."""
    facts = make_fingerprint(
        [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0), (4.0, 1.0, 1.0)], [(200, 64, 64), (90, 64, 64), (50, 64, 64)]
    )
    derive_plan(facts, Budget(device="cuda"), machine)
    assert needs.shapes == {"2d at (1.0, 1.0)": (90, 64, 64), "3d at (2.0, 1.0, 1.0)": (100, 64, 64)}


def test_slices_lie_across_the_first_axis(make_fingerprint, machine, needs):
    coronal = make_fingerprint([(0.8, 4.0, 0.9)] * 20, [(256, 20, 240)] * 20)
    derive_plan(coronal, Budget(device="cuda"), machine)
    assert set(needs.shapes.values()) == {(20, 256, 240)}


def test_pictures_are_one_slice(make_fingerprint, machine, needs):
    pictures = make_fingerprint([(1.0, 0.5, 0.7)] * 30, [(1, 512, 300)] * 30, dimensions=2, orientation=None)
    derive_plan(pictures, Budget(device="cuda"), machine)
    assert set(needs.shapes.values()) == {(1, 512, 300)}


def test_images_have_fewer_voxels_at_a_low_resolution(make_fingerprint, make_machine, needs):
    """The stage at the low resolution predicts the image as it is there; the cascade, as at full resolution."""
    facts = make_fingerprint([(1.0, 1.0, 1.0)] * 20, [(400, 400, 400)] * 20)
    machine = make_machine(lambda *_: 1.0)._replace(inference_bytes=needs.inference)
    plan = derive_plan(facts, Budget(device="cuda"), machine)
    low = plan.stages["3d_lowres"].preprocessing.spacing_mm
    assert low[0] > 1.2
    assert needs.shapes.pop(f"3d at {low}") == tuple(round(400 / mm) for mm in low)
    assert set(needs.shapes) == {"2d at (1.0, 1.0)", "3d at (1.0, 1.0, 1.0)", "3d_cascade"}
    assert set(needs.shapes.values()) == {(400, 400, 400)}


@pytest.mark.parametrize("preset", ["nnunet", "nnunet-resenc-m"])
def test_the_rules_of_nnunet_trace_nothing(hippocampus, machine, needs, preset):
    plan = derive_plan(hippocampus, Budget(device="cuda"), machine, preset=preset)
    assert not needs.shapes
    assert not [path for path in plan.decisions if path.endswith(".memory")]


def case(shape=(100, 40, 60), spacing_mm=(1.0, 4.0, 2.0), cropped=(80, 40, 60), orientation="LPS"):
    return CaseFacts(
        name="a",
        shape=shape,
        spacing_mm=spacing_mm,
        shape_after_crop=cropped,
        relative_size=0.8,
        orientation=orientation,
    )


@pytest.mark.parametrize(
    ("changes", "shape"),
    [
        ({}, (80, 160, 120)),  # 80 × 1 mm, 40 × 4 mm, 60 × 2 mm
        ({"crop_to_nonzero": False}, (100, 160, 120)),
        ({"axis_order": (1, 0, 2), "spacing_mm": (4.0, 1.0, 2.0)}, (40, 80, 60)),
        ({"axis_order": (1, 0, 2), "spacing_mm": (0.5, 2.0)}, (40, 160, 60)),  # slices across y, which stay
        ({"axis_order": (1, 0, 2), "spacing_mm": None, "resize_to": (24, 20)}, (40, 24, 20)),
        ({"orientation": "PSR"}, (120, 80, 160)),  # the array's first axis is the file's third: R, the old x
    ],
)
def test_the_image_as_it_is_prepared(hippocampus, machine, changes, shape):
    plan = derive_plan(hippocampus, Budget(device="cuda"), machine)
    stage = plan.stages["3d_fullres"]
    preprocessing = stage.preprocessing.model_copy(update={"spacing_mm": (1.0, 1.0, 1.0), **changes})
    assert prepared_shape(stage.model_copy(update={"preprocessing": preprocessing}), [case()]) == shape


@pytest.mark.parametrize(
    ("voxels", "from_mm", "to_mm"),
    [
        ([3], 0.9, 0.6),  # 4.5 voxels in numbers on paper; 0.9 / 0.6 * 3 and 3 * 0.9 / 0.6 lie on either side of it
        ([1, 25], 0.2, 1.0),  # a slice thinner than a voxel is one voxel all the same: the median of 1 and 5 is 3
    ],
)
def test_a_predicted_image_is_as_long_as_a_prepared_one(hippocampus, machine, voxels, from_mm, to_mm):
    stage = derive_plan(hippocampus, Budget(device="cuda"), machine).stages["3d_fullres"]
    preprocessing = stage.preprocessing.model_copy(update={"spacing_mm": (to_mm,) * 3, "orientation": None})
    cases, lengths = [], []
    for n in voxels:
        shape, spacing_mm = (n, n, n), (from_mm,) * 3
        cases.append(case(shape, spacing_mm, cropped=shape))
        image = Image(np.ones((1, *shape), np.float32), plain_grid(shape, spacing_mm))
        prepared, _ = prepare_image(image, preprocessing)
        lengths.append(prepared.shape[1:])
    stage = stage.model_copy(update={"preprocessing": preprocessing})
    assert prepared_shape(stage, cases) == tuple(np.median(lengths, axis=0))


def test_images_that_no_machine_can_hold_are_refused(make_fingerprint, machine):
    facts = make_fingerprint([(0.001, 0.001, 0.001)] * 5, [(30_000, 30_000, 30_000)] * 5)
    with pytest.raises(PlanError) as refused:
        derive_plan(facts, Budget(device="cuda"), machine)
    assert str(refused.value) == (
        "preprocessing.spacing_mm: with voxels of 0.001 × 0.001 × 0.001 mm the median image has 30000 × 30000 × "
        "30000, more than any machine can hold (1,000,000,000,000). Set larger voxels, or correct the spacing in the "
        "headers of the images."
    )
