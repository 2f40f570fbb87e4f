"""What was set by hand has to fit: a gigabyte a patch, on a machine made of arithmetic."""

from __future__ import annotations

import math

import pytest

from autoseg.errors import PlanError
from autoseg.plan import with_settings
from autoseg.planner import Machine
from autoseg.workflow.memory import check_memory, settings_of

STAGE = "stages.3d_fullres.sampling"


@pytest.fixture
def derived(plan):
    """With batches of 4, for 8 GB."""
    return with_settings(plan, [f"{STAGE}.batch_size=4"])


@pytest.fixture
def asked():
    """Batches whose need was asked for."""
    return []


@pytest.fixture
def machine(derived, asked):
    patch = math.prod(derived.stages["3d_fullres"].sampling.patch_size)

    def training_bytes(stage, dataset):
        asked.append(stage.sampling.batch_size)
        return int(1e9 * stage.sampling.batch_size * math.prod(stage.sampling.patch_size) / patch)

    return Machine("float32", lambda *_: 1.0, training_bytes, lambda *_: 0, margin=0.25)


def check(changed, machine, before=None):
    check_memory(changed, "3d_fullres", machine, "--set x", before and before.stages["3d_fullres"])


@pytest.mark.parametrize(("batch_size", "needs_asked"), [(1, [1]), (4, []), (6, [6])])
def test_what_fits_is_let_through_after_one_question(derived, machine, asked, batch_size, needs_asked):
    """6 patches and a quarter more are 7.5 GB; batches of 4 are what was derived."""
    check(with_settings(derived, [f"{STAGE}.batch_size={batch_size}"]), machine, derived)
    assert asked == needs_asked


@pytest.mark.parametrize(("batch_size", "needed"), [(7, "8.8"), (10, "12.5"), (5000, "6250.0")])
def test_what_does_not_fit_names_the_largest_batch_that_does(derived, machine, asked, batch_size, needed):
    with pytest.raises(PlanError) as raised:
        check(with_settings(derived, [f"{STAGE}.batch_size={batch_size}"]), machine, derived)
    patch = " × ".join(map(str, derived.stages["3d_fullres"].sampling.patch_size))
    assert str(raised.value) == (
        f"--set x: stage 3d_fullres with 4→8 features, batches of {batch_size} and patches of {patch} voxels needs "
        f"{needed} of 8.0 GB. The largest batch that fits is 6: --set {STAGE}.batch_size=6, or plan for more memory "
        "(--memory GB)"
    )
    assert len(asked) <= 2 + math.ceil(math.log2(batch_size + 1))


def test_where_not_even_one_patch_fits_the_need_is_told(derived, machine):
    """Eight times the voxels, and a quarter more, are 10 GB a patch."""
    z, y, x = (2 * n for n in derived.stages["3d_fullres"].sampling.patch_size)
    with pytest.raises(PlanError) as raised:
        check(with_settings(derived, [f"{STAGE}.patch_size=[{z}, {y}, {x}]"]), machine, derived)
    assert str(raised.value) == (
        f"--set x: stage 3d_fullres with 4→8 features, batches of 4 and patches of {z} × {y} × {x} voxels needs 40.0 "
        f"of 8.0 GB. Even a batch of 1 needs 10.0 GB. Set a smaller patch ({STAGE}.patch_size) or fewer features "
        "(stages.3d_fullres.network.features), or plan for more memory (autoseg plan … --memory GB)."
    )


def test_a_need_just_above_the_memory_is_told_apart_from_it(derived, machine):
    with pytest.raises(PlanError, match=r"needs 8\.03 of 8\.00 GB"):
        check(with_settings(derived, [f"{STAGE}.batch_size=7"]), machine._replace(margin=0.147), derived)


def test_what_needs_no_more_than_what_was_derived_is_not_refused(derived, machine, asked):
    """nnU-Net's presets count otherwise: their batches may need more by prediction, whatever else is set."""
    large = with_settings(derived, [f"{STAGE}.batch_size=9"])
    check(with_settings(large, ["stages.3d_fullres.training.epochs=3"]), machine, large)
    assert asked == []  # epochs take no memory
    check(with_settings(large, [f"{STAGE}.batch_size=8"]), machine, large)
    with pytest.raises(PlanError, match="The largest batch that fits is 6"):
        check(with_settings(large, [f"{STAGE}.batch_size=10"]), machine, large)


def test_what_was_not_derived_must_fit(derived, machine):
    check(derived, machine)
    with pytest.raises(PlanError, match=r"needs 11.2 of 8.0 GB\. The largest batch that fits is 6"):
        check(with_settings(derived, [f"{STAGE}.batch_size=9"]), machine)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ([f"{STAGE}.patch_size=[8,8,8]"], [0]),
        (["stages.*.network.features=[4,8]", "stages.2d.sampling.batch_size=3", f"{STAGE}.batch_size=9"], [0, 2]),
        (["stages.3d_fullres.training.seed=1", "stages.3d_fullres.training.precision=float32"], [1]),
        (["stages.3d_fullres.training={}", "stages.3d_fullres.inference.overlap=0.5"], [0]),  # the precision with it
        (["stages.3d_fullres.network.features.0=64"], [0]),
        (["stages.2d.sampling.batch_size=3"], []),
    ],
)
def test_the_settings_that_decide_a_need_are_named(settings, named):
    assert settings_of("3d_fullres", settings) == " ".join(f"--set {settings[place]}" for place in named)
