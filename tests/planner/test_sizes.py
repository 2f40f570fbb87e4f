"""Plans for a memory, on a machine whose need is known in closed form."""

from __future__ import annotations

import math
import re
from collections import Counter

import pytest

from autoseg.dataset.labels import Labels
from autoseg.errors import PlanError
from autoseg.plan.plan import Budget
from autoseg.planner import derive_plan
from autoseg.planner.machine import Machine

WORKSPACE = 0.1
MOST_TRACES = 12  # of a plan of four stages: one takes about a second
LABELS = 3  # of the fixtures, the background included


def encoder_maps(stage) -> float:
    """Channels × voxels of one patch, over the levels of the encoder."""
    voxels, maps = float(math.prod(stage.sampling.patch_size)), 0.0
    for width, stride in zip(stage.network.features, stage.network.strides, strict=True):
        voxels /= math.prod(stride)
        maps += width * voxels
    return maps


def encoder_weights(stage) -> float:
    """Two convolutions a level, from the features of the level above."""
    widths, kernels = stage.network.features, stage.network.kernels
    above = (0, *widths[:-1])
    return sum(
        math.prod(kernel) * here * (here + before) for here, before, kernel in zip(widths, above, kernels, strict=True)
    )


class Arithmetic:
    """Bytes of a step: weights, gradients and momentum; or, if more, weights, momentum and feature maps.

    Attributes:
        asked: how often each step was.
    """

    def __init__(self):
        self.asked = Counter()

    def __call__(self, stage, description) -> int:
        self.asked[self.step(stage)] += 1
        return self.needed(stage)

    @staticmethod
    def step(stage):
        return stage.network, stage.sampling.patch_size, stage.sampling.batch_size, stage.previous

    @staticmethod
    def needed(stage) -> int:
        weights, patch = 4 * 3 * encoder_weights(stage), math.prod(stage.sampling.patch_size)
        channels = 1 + (LABELS - 1) * (stage.previous is not None)
        maps = stage.sampling.batch_size * (40 * encoder_maps(stage) + 4 * channels * patch)
        return int(max(3 * weights, 2 * weights + maps))


@pytest.fixture
def arithmetic():
    return Arithmetic()


@pytest.fixture
def machine(arithmetic):
    def never(stage, description):
        raise AssertionError("timed although no time limit is set")

    return Machine("bfloat16", never, arithmetic, lambda *_: 0, WORKSPACE)


@pytest.fixture
def liver_like(make_fingerprint):
    return make_fingerprint([(0.94, 0.76, 0.77)] * 131, [(428, 512, 512)] * 131, channels=("CT",))


@pytest.fixture
def prostate_like(make_fingerprint):
    return make_fingerprint([(3.6, 0.62, 0.62)] * 32, [(20, 320, 320)] * 32)


@pytest.fixture
def pictures(make_fingerprint):
    """So many, and so small, that weights count for more than the feature maps of the first batches traced."""
    return make_fingerprint([(1.0, 1.0, 1.0)] * 10_000, [(1, 64, 64)] * 10_000, dimensions=2, orientation=None)


def needed_gb(stage) -> float:
    return (1 + WORKSPACE) * Arithmetic.needed(stage) / 1e9


def is_limited_by_the_dataset(plan, name) -> bool:
    facts = plan.decisions[f"stages.{name}.sampling.batch_size"].facts
    return facts["fit_dataset"] <= facts["fit_memory"]


DATASETS = ["liver_like", "hippocampus", "prostate_like", "pictures"]


@pytest.mark.parametrize("memory_gb", [1, 2, 8, 24, 80])
@pytest.mark.parametrize("facts", DATASETS)
def test_a_plan_fills_its_memory_and_never_exceeds_it(facts, memory_gb, request, machine, arithmetic):
    plan = derive_plan(request.getfixturevalue(facts), Budget(device="cuda", memory_gb=memory_gb), machine)
    for name, stage in plan.stages.items():
        share = needed_gb(stage) / memory_gb
        assert share <= 1, name
        assert share >= 0.9 or is_limited_by_the_dataset(plan, name), (name, share)
        # by the search, and for the decision that tells what is needed
        assert arithmetic.asked[arithmetic.step(stage)] >= 2, name
        told = plan.decisions[f"stages.{name}.memory"].value["training_gb"]
        assert told == pytest.approx(needed_gb(stage), abs=6e-4)
    assert len(arithmetic.asked) <= MOST_TRACES


@pytest.mark.parametrize("memory_gb", [8, 24])
def test_a_large_scan_gets_four_stages_that_are_full(liver_like, memory_gb, machine, arithmetic):
    plan = derive_plan(liver_like, Budget(device="cuda", memory_gb=memory_gb), machine)
    assert list(plan.stages) == ["2d", "3d_lowres", "3d_fullres", "3d_cascade"]
    assert all(needed_gb(stage) >= 0.9 * memory_gb for stage in plan.stages.values())
    assert all(stage.network.features[0] == 32 for stage in plan.stages.values())
    assert len(arithmetic.asked) <= MOST_TRACES


def test_a_patch_that_was_changed_to_fill_the_memory_says_so(liver_like, machine):
    """At 10 GB the search's first patch that fits, twice, leaves more than a tenth unused, as the plan tells."""
    plan = derive_plan(liver_like, Budget(device="cuda", memory_gb=10), machine)
    changed = [decision for decision in plan.decisions.values() if decision.rule == "fill_memory"]
    assert changed
    for decision in changed:
        told = re.fullmatch(
            r"(\d+) patches of (\d+(?: × \d+)+) would need (.*) of (.*) GB; one more would be too many\.",
            decision.alternative,
        )
        assert (float(told[3]) < 0.9 * 10, told[4]) == (True, "10.0")
        assert told[2] == " × ".join(map(str, decision.facts["largest_patch"]))
        assert "would leave more than a tenth of the memory unused" in decision.reason


def test_more_memory_is_never_spent_on_fewer_voxels(liver_like, machine):
    voxels = []
    for memory_gb in (1, 8, 24, 80):
        stage = derive_plan(liver_like, Budget(device="cuda", memory_gb=memory_gb), machine).stages["3d_fullres"]
        voxels.append(stage.sampling.batch_size * math.prod(stage.sampling.patch_size) * stage.network.features[0])
    assert voxels == sorted(set(voxels))


@pytest.mark.parametrize(
    ("memory_gb", "width", "alternative"),
    [
        (1.5, 32, ""),
        (0.6, 16, r"With 32 channels there, patches of \d+ × \d+ × \d+ voxels, 0.\d+ % of the image, would fit\."),
        (0.1, 8, r"With 16 channels there, patches of \d+ × \d+ × \d+ voxels, 0.\d+ % of the image, would fit\."),
        (0.0012, 8, r"With 16 channels there, not even the smallest patch fits 0.0012 GB\."),
    ],
)
def test_little_memory_gets_narrower_networks(liver_like, memory_gb, width, alternative, machine):
    plan = derive_plan(liver_like, Budget(device="cuda", memory_gb=memory_gb), machine)
    stage, decision = plan.stages["3d_fullres"], plan.decisions["stages.3d_fullres.network.features"]
    assert stage.network.features[0] == width
    assert re.fullmatch(alternative, decision.alternative)
    assert all(needed_gb(stage) <= memory_gb for stage in plan.stages.values())


@pytest.mark.parametrize("facts", DATASETS)
@pytest.mark.parametrize("preset", ["standard", "nnunet", "nnunet-resenc-l"])
def test_too_little_memory_names_the_least_that_does(facts, preset, request, machine, arithmetic):
    """For all stages, not only for the first that lacks it; and no less would do, but for a rounding to a megabyte."""
    facts = request.getfixturevalue(facts)
    with pytest.raises(PlanError) as raised:
        derive_plan(facts, Budget(memory_gb=0.0001), machine, preset=preset)
    message = re.fullmatch(
        r"budget.memory_gb is 0.0001, but the smallest network for images of (\d+ × )*\d+ voxels needs (.*) GB. "
        r"Raise the memory \(--memory\) to that or more\.",
        str(raised.value),
    )
    least = float(message[2])
    assert least >= 0.001
    plan = derive_plan(facts, Budget(memory_gb=least), machine, preset=preset)
    if preset == "standard":
        assert all(needed_gb(stage) <= least for stage in plan.stages.values())
        # the smallest network's need is no estimate
        assert max(needed_gb(stage) for stage in plan.stages.values()) > least - 0.001


def test_what_the_cascade_sees_besides_fits_too(make_fingerprint, arithmetic, machine):
    """With a hundred labels their channels outweigh the features; the cascade then has sizes of its own."""
    labels = Labels(values={"background": 0} | {f"organ_{value}": value for value in range(1, 101)})
    body = make_fingerprint([(1.0, 1.0, 1.0)] * 100, [(400, 400, 400)] * 100, channels=("CT",), labels=labels)

    def needed(stage, description):
        besides = 100 if stage.previous is not None else 0
        return arithmetic(stage, description) + 8 * besides * stage.sampling.batch_size * math.prod(
            stage.sampling.patch_size
        )

    plan = derive_plan(body, Budget(device="cuda", memory_gb=8), machine._replace(training_bytes=needed))
    cascade, volumes = plan.stages["3d_cascade"], plan.stages["3d_fullres"]
    assert cascade.previous.stage == "3d_lowres"
    assert volumes.previous is None
    for stage in (cascade, volumes):
        assert 0.9 * 8e9 <= (1 + WORKSPACE) * needed(stage, None) <= 8e9
    assert math.prod(cascade.sampling.patch_size) < math.prod(volumes.sampling.patch_size)
    reason = plan.decisions["stages.3d_cascade.sampling.patch_size"].reason
    assert reason != plan.decisions["stages.3d_fullres.sampling.patch_size"].reason


def test_stages_share_their_traces(liver_like, machine, arithmetic):
    derive_plan(liver_like, Budget(device="cuda", memory_gb=8), machine)
    searched = {step: count for step, count in arithmetic.asked.items() if count == 1}
    volumes = [step for step in searched if len(step[1]) == 3 and step[3] is None]
    assert len(volumes) <= 5
    assert max(arithmetic.asked.values()) <= 3  # by the search, and once for each of two stages alike
