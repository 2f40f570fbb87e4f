"""How fast a machine is: measured once, remembered, or taken from another plan in proportion."""

from __future__ import annotations

import pytest
import torch

from autoseg.errors import AutosegError
from autoseg.plan import Budget, Timing, with_settings, write_plan
from autoseg.workflow import machine, planning
from autoseg.workflow.machine import Stopwatch, describe, machine_for, name_machine
from autoseg.workflow.workspace import Workspace

CPU = torch.device("cpu")
MINUTES = Budget(minutes=5)


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    """The tests mean the same on every machine."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def timed(monkeypatch):
    """What was timed: stages, in their order. Each takes a millisecond more than the one before."""
    stages = []

    def seconds(stage, dataset, device):
        stages.append(stage)
        return 0.0010004 + 0.001 * len(stages)

    monkeypatch.setattr(machine, "seconds_per_iteration", seconds)
    return stages


@pytest.fixture
def volumes(plan):
    """16 × 32 × 32 voxels, features 4, 8, 8, 8, batches of 1."""
    changes = ("sampling.patch_size=[16, 32, 32]", "network.strides=[[1, 1, 1], [2, 2, 2], [2, 2, 2], [1, 2, 2]]")
    return with_settings(plan, [f"stages.3d_fullres.{change}" for change in changes]).stages["3d_fullres"]


def batches_of(stage, size):
    return stage.model_copy(update={"sampling": stage.sampling.model_copy(update={"batch_size": size})})


# Measured


def test_nothing_is_timed_twice(plan, volumes, timed):
    stopwatch = Stopwatch(MINUTES, CPU)
    assert stopwatch.machine == ""
    asked = [volumes, batches_of(volumes, 2), volumes, batches_of(volumes, 2), volumes]
    seconds = [stopwatch.seconds_per_iteration(stage, plan.dataset) for stage in asked]
    assert seconds == [0.002, 0.003, 0.002, 0.003, 0.002]  # three figures of 2.0004 ms and 3.0004 ms
    assert timed == asked[:2]
    assert [timing.seconds for timing in stopwatch.timings] == [0.002, 0.003]
    assert stopwatch.machine == name_machine(CPU)


def test_what_is_told_of_a_workload(volumes):
    assert describe(volumes, "cpu") == (
        "3-D plain_unet of 4-8-8-8 features, strides 2×2×2-2×2×2-1×2×2, batch 1, patch 16×32×32, float32, sgd, cpu"
    )


def test_feature_voxels(plan, volumes, timed):
    """16·32·32 voxels in 4 channels, an eighth of them in 8, an eighth of those in 8, a quarter of those in 8."""
    expected = 16 * 32 * 32 * (4 + 8 / 8 + 8 / 64 + 8 / 256)
    stopwatch = Stopwatch(MINUTES, CPU)
    for size in (1, 3):
        stopwatch.seconds_per_iteration(batches_of(volumes, size), plan.dataset)
    assert [timing.feature_voxels for timing in stopwatch.timings] == pytest.approx(
        [expected / 1e6, 3 * expected / 1e6]
    )


def test_what_was_recorded_is_not_timed_again(plan, volumes, timed):
    earlier = Stopwatch(MINUTES, CPU)
    earlier.seconds_per_iteration(volumes, plan.dataset)
    earlier.seconds_per_iteration(batches_of(volumes, 4), plan.dataset)
    later = Stopwatch(MINUTES, CPU, earlier.timings)
    assert later.seconds_per_iteration(volumes, plan.dataset) == 0.002
    assert later.seconds_per_iteration(batches_of(volumes, 2), plan.dataset) == 0.004  # new: measured, not reckoned
    assert len(timed) == 3
    assert [timing.seconds for timing in later.timings] == [0.002, 0.004]  # only what was asked for
    assert later.machine == name_machine(CPU)


@pytest.mark.parametrize(
    ("machine_name", "device", "minutes", "expected"),
    [
        ("this", "cpu", 5, 1),
        ("this", "cpu", None, 0),  # a plan without a time limit asks for no speed
        ("another, 64 threads", "cpu", 5, 0),
        ("this", "cuda", 5, 0),  # which this machine does not have
    ],
)
def test_timings_of_a_workspace_count_on_the_same_machine_only(plan, tmp_path, machine_name, device, minutes, expected):
    workspace = Workspace(tmp_path)
    name = name_machine(CPU) if machine_name == "this" else machine_name
    known = (Timing(workload="3-D something", feature_voxels=1.0, seconds=0.1),)
    budget = plan.budget.model_copy(update={"machine": name, "timings": known})
    write_plan(workspace.plan_file("earlier"), plan.model_copy(update={"name": "earlier", "budget": budget}))
    assert len(planning._recorded(Budget(device=device, minutes=minutes), workspace)) == expected


# Another machine


VOLUMES = 16 * 32 * 32 * (4 + 8 / 8 + 8 / 64 + 8 / 256) / 1e6  # feature voxels of the fixture


@pytest.mark.parametrize(
    ("known", "seconds"),
    [
        # half as large, so half of the time
        ([("3-D a", 2 * VOLUMES, 0.2)], 0.1),
        # the nearest in size, by the factor between them: 3 times larger is nearer than 4 times smaller
        ([("3-D a", 3 * VOLUMES, 0.6), ("3-D b", VOLUMES / 4, 0.1)], 0.2),
        ([("3-D a", 4 * VOLUMES, 0.6), ("3-D b", VOLUMES / 3, 0.1)], 0.3),
        # of the same dimensions, though another is nearer
        ([("2-D a", VOLUMES, 0.7), ("3-D b", 10 * VOLUMES, 1.0)], 0.1),
        # and of the same kind of network
        ([("3-D residual_encoder_unet a", VOLUMES, 0.7), ("3-D plain_unet b", 10 * VOLUMES, 1.0)], 0.1),
        # unless there is none
        ([("2-D a", 2 * VOLUMES, 0.7)], 0.35),
    ],
)
def test_another_machine_by_proportion(plan, volumes, timed, known, seconds):
    timings = tuple(Timing(workload=what, feature_voxels=size, seconds=took) for what, size, took in known)
    budget = Budget(device="cuda", minutes=5, machine="a GPU", timings=timings)
    stopwatch = Stopwatch(budget, None)
    assert stopwatch.seconds_per_iteration(volumes, plan.dataset) == pytest.approx(seconds, rel=0.01)
    assert stopwatch.machine == "a GPU"
    assert timed == []


def test_what_another_machine_did_is_not_reckoned(plan, volumes, timed):
    same = Timing(workload=describe(volumes, "cuda"), feature_voxels=VOLUMES, seconds=0.123456)
    near = Timing(workload="3-D a", feature_voxels=VOLUMES, seconds=9.0)
    budget = Budget(device="cuda", minutes=5, machine="a GPU", timings=(near, same))
    assert Stopwatch(budget, None).seconds_per_iteration(volumes, plan.dataset) == 0.123456


def test_timings_of_the_budget_count_on_this_machine_too(plan, volumes, timed):
    """Else the same budget would not give the same plan."""
    known = Timing(workload="3-D a", feature_voxels=VOLUMES, seconds=0.5)
    budget = Budget(minutes=5, machine="another", timings=(known,))
    stopwatch = Stopwatch(budget, CPU, recorded=[known.model_copy(update={"seconds": 0.1})])
    assert stopwatch.seconds_per_iteration(volumes, plan.dataset) == 0.5
    assert stopwatch.machine == "another"
    assert timed == []


def test_a_plan_keeps_the_timings_it_was_given_and_records_no_estimates(fingerprint, timed):
    known = Timing(workload="3-D a", feature_voxels=2.0, seconds=0.01)
    budget = Budget(device="cuda", minutes=5, precision="float16", machine="a GPU", timings=(known,))
    plan = planning.make_plan(fingerprint, budget, preset="nnunet")
    assert plan.budget == budget
    assert timed == []


def test_a_device_that_is_not_here_and_was_not_timed(plan, volumes):
    with pytest.raises(AutosegError) as raised:
        Stopwatch(Budget(device="cuda", minutes=5), None).seconds_per_iteration(volumes, plan.dataset)
    assert str(raised.value) == (
        "device 'cuda' is not to be had on this machine, and a plan for a number of minutes needs its speed. Make the "
        "plan where it is trained, or give a plan that was made there: --timings PLAN.json."
    )


# The machine


@pytest.mark.parametrize(("device", "precision"), [("cuda", "bfloat16"), ("mps", "float32")])
def test_a_machine_that_is_elsewhere(device, precision):
    found, _ = machine_for(Budget(device=device))
    assert found.precision == precision


def test_no_step_is_traced_twice(plan, volumes, monkeypatch):
    traced = []

    def trace(stage, dataset, device):
        traced.append((stage.sampling.batch_size, device))
        return 1000 * stage.sampling.batch_size

    monkeypatch.setattr(machine, "training_bytes", trace)
    found, _ = machine_for(Budget(device="cuda"))
    other = volumes.model_copy(update={"training": volumes.training.model_copy(update={"epochs": 7})})
    asked = [volumes, batches_of(volumes, 2), volumes, other]
    assert [found.training_bytes(stage, plan.dataset) for stage in asked] == [1000, 2000, 1000, 1000]
    assert traced == [(1, "cuda"), (2, "cuda")]
    float16 = volumes.model_copy(update={"training": volumes.training.model_copy(update={"precision": "float16"})})
    found.training_bytes(float16, plan.dataset)
    assert len(traced) == 3
