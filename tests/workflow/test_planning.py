from __future__ import annotations

import itertools
import math

import pytest
import torch

from autoseg.dataset import Labels, Region
from autoseg.dataset.folds import ONE_CASE
from autoseg.errors import AutosegError, PlanError, WorkspaceError
from autoseg.fingerprint import write_fingerprint
from autoseg.plan import Budget, Decision, Timing, with_settings
from autoseg.planner.normalisation import NOT_MEASURED, REPEAT, planned_without_images
from autoseg.workflow import machine, planning
from autoseg.workflow.like import retarget
from autoseg.workflow.planning import changed_plan, make_plan, plan_in_workspace
from autoseg.workflow.request import Request, budget_warnings, resolve_budget
from autoseg.workflow.workspace import Workspace

ASKED = Request(device="cpu", memory_gb=4.0)


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    """The tests mean the same on every machine."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def begin_training(workspace, plan):
    folder = workspace.fold_folder(plan, "2d", 0)
    folder.mkdir(parents=True)
    (folder / "resume.pt").touch()


# A plan from a budget


def test_make_plan_sets_values_by_hand(fingerprint):
    plan = make_plan(fingerprint, Budget(memory_gb=4), "mine", ["stages.2d.training.epochs=3"])
    budget = Budget(memory_gb=4, precision=plan.stages["2d"].training.precision)
    assert (plan.name, plan.budget, plan.stages["2d"].training.epochs) == ("mine", budget, 3)
    assert plan.decisions["stages.2d.training.epochs"].rule == "hand-set"
    with pytest.raises(PlanError, match="--set stages.2d.training.epoch: stages.2d.training has no 'epoch'; did you"):
        make_plan(fingerprint, Budget(), settings=["stages.2d.training.epoch=3"])


@pytest.mark.parametrize(("preset", "kind"), [("nnunet", "plain_unet"), ("nnunet-resenc-m", "residual_encoder_unet")])
def test_a_plan_by_other_rules(fingerprint, preset, kind):
    plan = make_plan(fingerprint, Budget(), preset=preset)
    assert plan.preset == preset
    assert {stage.network.kind for stage in plan.stages.values()} == {kind}
    assert make_plan(fingerprint, Budget()).preset == "standard"


@pytest.mark.parametrize(("device", "precision"), [("cuda", "bfloat16"), ("mps", "float32")])
def test_a_plan_for_a_device_that_is_elsewhere(fingerprint, device, precision):
    plan = make_plan(fingerprint, Budget(device=device, memory_gb=8))
    assert plan.budget.device == device
    assert {stage.training.precision for stage in plan.stages.values()} == {precision}


def test_minutes_are_planned_where_they_are_spent(fingerprint):
    with pytest.raises(AutosegError) as raised:
        make_plan(fingerprint, Budget(device="cuda", minutes=10))
    assert str(raised.value) == (
        "device 'cuda' is not to be had on this machine, and a plan for a number of minutes needs its speed. Make the "
        "plan where it is trained, or give a plan that was made there: --timings PLAN.json."
    )


def test_minutes_are_measured_on_this_machine(fingerprint, monkeypatch):
    timed = []

    def seconds(stage, dataset, device):
        timed.append((stage.dimensions, dataset.name, device))
        return 0.01

    monkeypatch.setattr(machine, "seconds_per_iteration", seconds)
    plan = make_plan(fingerprint, Budget(minutes=5))
    assert set(timed) == {(dimensions, "Kidneys", torch.device("cpu")) for dimensions in (2, 3)}
    assert all(stage.training.minutes == 5 for stage in plan.stages.values())
    assert {timing.seconds for timing in plan.budget.timings} == {0.01}
    assert "threads" in plan.budget.machine


def test_the_same_request_gives_the_same_plan_and_times_nothing_twice(fingerprint, tmp_path, monkeypatch):
    pace = itertools.count(1)
    monkeypatch.setattr(machine, "seconds_per_iteration", lambda stage, dataset, device: next(pace) / 100)
    workspace, request = Workspace(tmp_path), Request(device="cpu", memory_gb=4, minutes=5)
    first = plan_in_workspace(fingerprint, workspace, "first", request)
    asked = next(pace)
    second = plan_in_workspace(fingerprint, workspace, "second", request)
    assert next(pace) == asked + 1
    assert second.model_copy(update={"name": "first"}) == first


def test_a_plan_made_from_the_timings_of_a_plan_is_that_plan(fingerprint, monkeypatch):
    monkeypatch.setattr(machine, "seconds_per_iteration", lambda stage, dataset, device: 0.2)
    first = make_plan(fingerprint, Budget(memory_gb=4, minutes=5))
    monkeypatch.setattr(machine, "seconds_per_iteration", never)
    assert make_plan(fingerprint, first.budget).model_dump_json() == first.model_dump_json()


def test_another_machine_is_as_fast_as_its_timings_say(fingerprint, monkeypatch):
    monkeypatch.setattr(machine, "seconds_per_iteration", never)
    timing = Timing(workload="3-D something", feature_voxels=2.0, seconds=0.01)
    fast = make_plan(fingerprint, Budget(device="cuda", minutes=5, machine="a GPU", timings=(timing,)))
    assert fast.budget.machine == "a GPU"
    for timed in fast.budget.timings:
        assert timed.seconds == pytest.approx(0.005 * timed.feature_voxels, rel=0.01)


def test_another_machine_computes_in_what_its_plan_says(fingerprint, plan, monkeypatch):
    monkeypatch.setattr(machine, "seconds_per_iteration", never)
    old = timed_plan(plan, 0.1)
    old = old.model_copy(update={"budget": old.budget.model_copy(update={"precision": "float16"})})
    asked = Request(device="cuda", memory_gb=4, minutes=5, preset="nnunet", timings=old)
    made = make_plan(fingerprint, resolve_budget(asked), preset="nnunet")
    assert {stage.training.precision for stage in made.stages.values()} == {"float16"}
    assert make_plan(fingerprint, made.budget, preset="nnunet").model_dump_json() == made.model_dump_json()


def never(stage, dataset, device):
    raise AssertionError("timed although the times are known")


# What is set by hand has to fit


def test_a_batch_that_does_not_fit_names_the_largest_that_does(fingerprint):
    budget = Budget(memory_gb=1)
    with pytest.raises(PlanError) as raised:
        make_plan(fingerprint, budget, settings=["stages.3d_fullres.sampling.batch_size=5000"])
    message = str(raised.value)
    assert message.startswith("--set stages.3d_fullres.sampling.batch_size=5000: stage 3d_fullres with ")
    assert "of 1.0 GB. The largest batch that fits is " in message
    largest = int(message.rpartition("=")[2].partition(",")[0])
    assert make_plan(fingerprint, budget, settings=[f"stages.3d_fullres.sampling.batch_size={largest}"])
    with pytest.raises(PlanError, match=f"largest batch that fits is {largest}"):
        make_plan(fingerprint, budget, settings=[f"stages.3d_fullres.sampling.batch_size={largest + 1}"])


def test_a_patch_of_which_not_even_one_fits(fingerprint):
    settings = ["stages.2d.training.seed=3", "stages.2d.sampling.patch_size=[8192, 8192]"]
    with pytest.raises(PlanError, match=r"Even a batch of 1 needs [0-9.]+ GB. Set a smaller patch") as raised:
        make_plan(fingerprint, Budget(memory_gb=1), settings=settings)
    assert str(raised.value).startswith("--set stages.2d.sampling.patch_size=[8192, 8192]: stage 2d with ")


@pytest.fixture
def arithmetic(monkeypatch):
    """A machine of arithmetic: 10 kB to train and 100 kB to predict a voxel, a quarter more of each."""

    def training_bytes(stage, dataset, device):
        return 10_000 * stage.sampling.batch_size * math.prod(stage.sampling.patch_size)

    monkeypatch.setattr(machine, "training_bytes", training_bytes)
    monkeypatch.setattr(machine, "inference_bytes", lambda stage, dataset, shape, device: 100_000 * math.prod(shape))


def training_gb(stage):
    return 1.25 * 10_000 * stage.sampling.batch_size * math.prod(stage.sampling.patch_size) / 1e9


def predicted(plan, stage="2d"):
    return plan.decisions[f"stages.{stage}.memory"]


@pytest.mark.usefixtures("arithmetic")
def test_what_a_changed_stage_needs_is_predicted_again(fingerprint):
    derived = make_plan(fingerprint, Budget(memory_gb=4))
    assert predicted(derived).value["training_gb"] == pytest.approx(training_gb(derived.stages["2d"]), abs=0.001)
    changed = make_plan(fingerprint, Budget(memory_gb=4), settings=["stages.2d.sampling.batch_size=1"])
    assert changed.stages["2d"].sampling.batch_size == 1 < derived.stages["2d"].sampling.batch_size
    assert predicted(changed).value["training_gb"] == pytest.approx(training_gb(changed.stages["2d"]), abs=0.001)
    assert predicted(changed).value["inference_gb"] == predicted(derived).value["inference_gb"]
    assert predicted(changed, "3d_fullres") == predicted(derived, "3d_fullres")
    order = list(changed.decisions)
    assert order.index("stages.2d.memory") > order.index("stages.2d.sampling.batch_size")  # so it holds
    seeded = make_plan(fingerprint, Budget(memory_gb=4), settings=["stages.2d.training.seed=5"])
    assert predicted(seeded) == predicted(derived)
    assert list(seeded.decisions)[-1] == "stages.2d.memory"


@pytest.mark.usefixtures("arithmetic")
def test_a_prediction_that_no_longer_fits_is_warned_of(fingerprint):
    """A quarter of the voxel's size makes 16 times as many in a volume."""
    derived = make_plan(fingerprint, Budget(memory_gb=4))
    z, y, x = derived.stages["3d_fullres"].preprocessing.spacing_mm
    fine = [f"stages.3d_fullres.preprocessing.spacing_mm=[{z}, {y / 4}, {x / 4}]"]
    changed = make_plan(fingerprint, Budget(memory_gb=4), settings=fine)
    before, after = (predicted(plan, "3d_fullres").value["inference_gb"] for plan in (derived, changed))
    assert before < 4 < after == pytest.approx(16 * before, rel=0.1)
    [warning] = set(changed.warnings) - set(derived.warnings)
    assert "3d_fullres" in warning and "the budget has 4 GB" in warning


@pytest.mark.usefixtures("arithmetic")
@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        ([], True),
        (["stages.*.training.epochs=999"], False),
        (["stages.*.training.minutes=9"], False),
        (["stages.2d.training.epochs=4"], True),
        (["stages.*.training.seed=1"], True),
    ],
)
def test_a_training_that_is_set_shorter_is_not_warned_of(fingerprint, settings, warned):
    warnings = make_plan(fingerprint, Budget(memory_gb=4), settings=settings).warnings
    assert any("days to weeks" in warning for warning in warnings) == warned


@pytest.mark.usefixtures("arithmetic")
def test_values_set_for_a_training(fingerprint, workspace):
    plan = plan_in_workspace(fingerprint, workspace, "default", ASKED)
    write_fingerprint(workspace.fingerprint_file, fingerprint)
    assert changed_plan(workspace, "default", []) == plan
    settings = ["stages.2d.sampling.batch_size=1"]
    changed = changed_plan(workspace, "default", settings)
    assert predicted(changed).value["training_gb"] == pytest.approx(training_gb(changed.stages["2d"]), abs=0.001)
    assert workspace.read_plan() == plan
    with pytest.raises(PlanError, match=r"^--set stages\.2d\.sampling\.batch_size=5000: stage 2d with .* of 4\.0 GB"):
        changed_plan(workspace, "default", ["stages.2d.sampling.batch_size=5000"])
    # Without the facts that the plan was made from it is not known what the stage needs; nothing wrong is told.
    write_fingerprint(workspace.fingerprint_file, fingerprint.model_copy(update={"cases": fingerprint.cases[1:]}))
    unknown = changed_plan(workspace, "default", settings)
    assert unknown.stages == changed.stages
    assert "stages.2d.memory" not in unknown.decisions
    assert predicted(unknown, "3d_fullres") == predicted(plan, "3d_fullres")
    workspace.fingerprint_file.unlink()
    assert changed_plan(workspace, "default", settings) == unknown


# The budget of a request


@pytest.mark.parametrize(
    ("request_", "budget"),
    [
        (Request(device="cpu", memory_gb=3.0), Budget(device="cpu", memory_gb=3.0)),
        (Request(memory_gb=3.0, minutes=7.0), Budget(device="cpu", memory_gb=3.0, minutes=7.0)),
        (Request(device="auto", memory_gb=3.0), Budget(device="cpu", memory_gb=3.0)),
        (Request(), Budget(device="cpu", memory_gb=12.3)),
        (Request(device="cuda"), Budget(device="cuda", memory_gb=8.0)),
        (Request(device="cpu", preset="nnunet"), Budget(device="cpu", memory_gb=8.0)),
        (Request(device="cpu", preset="nnunet-resenc-l"), Budget(device="cpu", memory_gb=24.0)),
    ],
)
def test_budgets(request_, budget, monkeypatch):
    monkeypatch.setattr("autoseg.workflow.request.memory_gb", lambda device: 12.345)
    assert resolve_budget(request_) == budget


@pytest.mark.parametrize("name", ["tpu", "cuda:1", "cuda:x"])
def test_a_device_that_is_not_here_by_its_number_or_that_nobody_knows(name):
    with pytest.raises(AutosegError, match=f"^device '{name}' is not to be had on this machine. There is: cpu "):
        resolve_budget(Request(device=name))


def test_a_gpu_by_its_number(monkeypatch):
    """The plan is for GPUs, of the memory that this one has."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr("autoseg.workflow.request.memory_gb", lambda device: {0: 80.0, 1: 11.0}[device.index])
    assert resolve_budget(Request(device="cuda:1")) == Budget(device="cuda", memory_gb=11.0)


ASSUMED = (
    "No memory was given, and this machine has no device 'cuda' to ask: the plan assumes 8 GB. Give the memory of the "
    "device it will be trained on (--memory GB)."
)
TOO_MUCH = (
    "The plan is for 1,000,000,000 GB of memory, and this machine has 16 (cpu): a training here may run out of it. If "
    "it is to be trained here, give what there is (--memory GB)."
)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (Request(device="cuda"), (ASSUMED,)),
        (Request(device="cuda", memory_gb=8.0), ()),
        (Request(device="cuda", preset="nnunet"), ()),  # for nnU-Net's own target, whatever there is
        (Request(device="cpu", memory_gb=1e9), (TOO_MUCH,)),
        (Request(device="cpu", memory_gb=16.0), ()),
        (Request(), ()),  # takes half of what there is
    ],
)
def test_what_is_said_of_the_memory(fingerprint, workspace, monkeypatch, asked, told):
    monkeypatch.setattr("autoseg.networks.devices.machine_memory_bytes", lambda: 32e9)
    monkeypatch.setattr("autoseg.networks.devices.memory_limit_bytes", lambda: 16e9)
    assert budget_warnings(asked, resolve_budget(asked)) == told


def test_what_is_said_of_the_memory_is_in_the_plan_and_shown(fingerprint, workspace, caplog):
    plan = plan_in_workspace(fingerprint, workspace, "default", Request(device="cuda"))
    assert plan.warnings == (ASSUMED,)
    assert workspace.read_plan().warnings == (ASSUMED,)
    assert f"warning: {ASSUMED}" in caplog.messages


def test_a_single_case_is_told(fingerprint, workspace):
    alone = fingerprint.model_copy(update={"cases": fingerprint.cases[:1]})
    plan = plan_in_workspace(alone, workspace, "default", Request(device="cuda", memory_gb=8.0))
    assert plan.warnings == (
        "There is one training case: a model that learns from it cannot be validated. Add cases with label maps, or "
        "train without validation (--folds all; autoseg train … --fold all).",
    )


def test_what_was_told_is_not_told_again(fingerprint, workspace, caplog):
    alone = fingerprint.model_copy(update={"cases": fingerprint.cases[:1]})
    asked = Request(device="cuda", memory_gb=8.0)
    plan = plan_in_workspace(alone, workspace, "default", asked, told=[ONE_CASE])
    assert len(plan.warnings) == 1
    assert not [message for message in caplog.messages if "warning" in message]


def test_too_little_time_is_told_in_measured_iterations(fingerprint, workspace, monkeypatch, caplog):
    """At 3 s an iteration 0.01 minutes are 0.2 iterations, and 1000 take 50 minutes."""
    monkeypatch.setattr(machine, "seconds_per_iteration", lambda stage, dataset, device: 3.0)
    plan_in_workspace(fingerprint, workspace, "default", Request(device="cpu", memory_gb=4.0, minutes=0.01))
    assert (
        "warning: about 0.2 iterations of 3d_fullres fit 0.01 minutes on this machine as it was when it was timed, "
        "and 1000 are the fewest that make a model worth having; give it 50 minutes or more, or time an idle "
        "machine, in another workspace (-w DIR)" in caplog.messages
    )
    caplog.clear()
    plan_in_workspace(fingerprint, workspace, "long", Request(device="cpu", memory_gb=4.0, minutes=50))
    assert not [message for message in caplog.messages if "fit" in message]


# Which plan is used again


@pytest.mark.parametrize(
    "again",
    [
        ASKED,
        Request(),
        Request(device="auto"),
        Request(device="cpu"),
        Request(memory_gb=4.0),
        Request(preset="standard"),
        Request(settings=["stages.2d.training.epochs=3"]),
    ],
)
def test_a_plan_that_agrees_is_used_again(fingerprint, workspace, monkeypatch, again):
    first = plan_in_workspace(
        fingerprint, workspace, "default", ASKED._replace(settings=["stages.2d.training.epochs=3"])
    )
    assert workspace.read_plan() == first
    begin_training(workspace, first)
    written = workspace.plan_file("default").stat().st_mtime_ns
    monkeypatch.setattr(planning, "derive_plan", None)
    assert plan_in_workspace(fingerprint, workspace, "default", again) == first
    assert workspace.plan_file("default").stat().st_mtime_ns == written


OTHERS = [
    (Request(device="cuda"), "--device cuda, the plan has cpu"),
    (Request(memory_gb=2.0), "--memory 2.0, the plan has 4.0"),
    (Request(preset="nnunet"), "--preset nnunet, the plan was derived by standard"),
    (Request(settings=["stages.2d.training.epochs=4"]), "--set stages.2d.training.epochs=4"),
    (
        Request(settings=["stages.2d.training.epochs=4", "stages.2d.training.seed=1"]),
        "--set stages.2d.training.epochs=4 --set stages.2d.training.seed=1",
    ),
]


@pytest.mark.parametrize(("other", "difference"), OTHERS)
def test_a_plan_that_differs_is_derived_again(fingerprint, workspace, other, difference):
    first = plan_in_workspace(fingerprint, workspace, "default", ASKED)
    second = plan_in_workspace(fingerprint, workspace, "default", other)
    assert second != first
    assert workspace.read_plan() == second
    assert second.budget.device == (other.device or "cpu")


@pytest.mark.parametrize(("other", "difference"), [*OTHERS, (Request(minutes=5.0), "--minutes 5.0, the plan has None")])
def test_a_plan_that_models_were_trained_by_is_not_replaced(fingerprint, workspace, other, difference):
    first = plan_in_workspace(fingerprint, workspace, "default", ASKED)
    begin_training(workspace, first)
    with pytest.raises(WorkspaceError) as raised:
        plan_in_workspace(fingerprint, workspace, "default", other)
    assert str(raised.value) == (
        f"{workspace.plan_file('default')}: models were trained by this plan, and it differs from what is asked for "
        f"now ({difference}). Derive the new plan under another name (autoseg plan … --name NAME), or leave the "
        "options out to go on with this one."
    )
    assert workspace.read_plan() == first
    assert plan_in_workspace(fingerprint, workspace, "second", ASKED).name == "second"


def timed_plan(plan, seconds):
    """A plan for minutes, made on a GPU that takes so many seconds a step."""
    timings = (Timing(workload="3-D something", feature_voxels=1.0, seconds=seconds),)
    budget = Budget(device="cuda", memory_gb=4, minutes=5, machine="a GPU", timings=timings)
    return plan.model_copy(update={"name": f"timed-{seconds}", "budget": budget})


@pytest.mark.parametrize("seconds", [0.1, 0.2])
def test_other_timings_than_the_plan_was_made_with(fingerprint, plan, workspace, seconds):
    asked = Request(device="cuda", memory_gb=4, minutes=5, preset="nnunet", timings=timed_plan(plan, 0.1))
    first = plan_in_workspace(fingerprint, workspace, "default", asked)
    begin_training(workspace, first)
    again = asked._replace(timings=timed_plan(plan, seconds))
    if seconds == 0.1:
        assert plan_in_workspace(fingerprint, workspace, "default", again) == first
        return
    with pytest.raises(WorkspaceError, match=r"\(--timings timed-0\.2, the plan was made with others\)"):
        plan_in_workspace(fingerprint, workspace, "default", again)


def test_a_plan_for_other_labels_is_derived_again_or_refused(fingerprint, workspace):
    first = plan_in_workspace(fingerprint, workspace, "default", ASKED)
    labels = Labels(values={"background": 0, "kidney": 1, "tumour": 2, "cyst": 3})
    now = fingerprint.model_copy(update={"dataset": fingerprint.dataset.model_copy(update={"labels": labels})})
    second = plan_in_workspace(now, workspace, "default", ASKED)
    assert second.dataset.labels == labels
    begin_training(workspace, first)
    with pytest.raises(WorkspaceError, match=r"\(the dataset has other channels or labels now\)"):
        plan_in_workspace(fingerprint, workspace, "default", ASKED)
    renamed = now.model_copy(update={"dataset": now.dataset.model_copy(update={"name": "moved"})})
    assert plan_in_workspace(renamed, workspace, "default", ASKED) == second


def test_the_order_of_regions_is_the_plans_the_order_of_labels_is_not(fingerprint, workspace):
    values = {"background": 0, "kidney": 1, "tumour": 2}
    regions = {"kidney": Region(values=(1, 2), paint=1), "tumour": Region(values=(2,), paint=2)}

    def described(named, united):
        labels = Labels(values=named, regions=united)
        return fingerprint.model_copy(update={"dataset": fingerprint.dataset.model_copy(update={"labels": labels})})

    first = plan_in_workspace(described(values, regions), workspace, "default", ASKED)
    begin_training(workspace, first)
    renumbered = described(dict(reversed(values.items())), regions)
    assert plan_in_workspace(renumbered, workspace, "default", ASKED) == first
    with pytest.raises(WorkspaceError, match=r"\(the dataset has other channels or labels now\)"):
        plan_in_workspace(described(values, dict(reversed(regions.items()))), workspace, "default", ASKED)


# A plan like another


@pytest.mark.usefixtures("arithmetic")
def test_the_stages_of_another_plan(fingerprint, plan, workspace):
    taken = plan_in_workspace(fingerprint, workspace, "taken", Request(like=plan))
    assert taken.stages == plan.stages
    assert taken.name == "taken"
    with_more = Request(like=plan, settings=["stages.2d.training.seed=5"])
    changed = plan_in_workspace(fingerprint, workspace, "taken", with_more)
    assert changed.stages["2d"].training.seed == 5
    assert changed.stages["3d_fullres"] == plan.stages["3d_fullres"]
    assert {path: decision.rule for path, decision in changed.decisions.items()} == {
        "stages.2d": "like",
        "stages.3d_fullres": "like",
        "stages.2d.training.seed": "hand-set",
        "stages.2d.memory": "predicted_memory",  # after what was set by hand, which counts
        "stages.3d_fullres.memory": "predicted_memory",
    }


@pytest.mark.usefixtures("arithmetic")
def test_the_warnings_of_a_plan_that_is_taken_are_of_this_dataset(fingerprint, plan, workspace):
    other = plan.model_copy(update={"warnings": ("A case of the other dataset is far too large.",)})
    assert plan_in_workspace(fingerprint, workspace, "a", Request(like=other)).warnings == ()
    unseen = fingerprint.model_copy(update={"intensities": (), "image_intensities": ()})
    assert plan_in_workspace(unseen, workspace, "b", Request(like=other)).warnings == (REPEAT,)
    first, *rest = fingerprint.cases
    in_cm = first.model_copy(update={"spacing_mm": tuple(10 * size for size in first.spacing_mm)})
    odd = fingerprint.model_copy(update={"cases": (in_cm, *rest)})
    [warning] = plan_in_workspace(odd, workspace, "c", Request(like=other)).warnings
    assert first.name in warning


@pytest.mark.usefixtures("arithmetic")
def test_a_plan_made_without_images_is_not_taken(fingerprint, plan, workspace):
    paths = [f"stages.{name}.preprocessing.normalisation" for name in plan.stages]
    unmeasured = Decision(value=[], rule="x", facts={"foreground_intensities": NOT_MEASURED}, reason="x")
    blind = plan.model_copy(update={"decisions": dict.fromkeys(paths, unmeasured)})
    assert planned_without_images(blind)
    with pytest.raises(PlanError) as raised:
        plan_in_workspace(fingerprint, workspace, "taken", Request(like=blind))
    remedy = 'stages.*.preprocessing.normalisation=[{"kind":"zscore"}]'
    assert str(raised.value) == (
        "--like: plan 'default' was made from label maps alone, so its normalisation was not measured on any image. "
        "Derive it again with its images and take that one, or set the normalisation by hand, one entry a channel "
        f"(--set '{remedy}')."
    )
    assert not workspace.path.exists()
    taken = plan_in_workspace(fingerprint, workspace, "taken", Request(like=blind, settings=[remedy]))
    assert {stage.preprocessing.normalisation[0].kind for stage in taken.stages.values()} == {"zscore"}


def test_a_normalisation_set_in_part_was_still_not_measured(plan):
    paths = [f"stages.{name}.preprocessing.normalisation" for name in plan.stages]
    ct = {"kind": "ct", "lower": -79.0, "upper": 304.0, "mean": 101.0, "std": 76.9}
    unmeasured = Decision(value=[ct], rule="x", facts={"foreground_intensities": NOT_MEASURED}, reason="x")
    blind = with_settings(
        plan, [f'{path}=[{{"kind":"ct","lower":-79,"upper":304,"mean":101,"std":76.9}}]' for path in paths]
    )
    blind = blind.model_copy(update={"decisions": dict.fromkeys(paths, unmeasured)})
    in_part = with_settings(blind, ["stages.*.preprocessing.normalisation.0.upper=400"])
    assert planned_without_images(in_part)
    assert not planned_without_images(
        with_settings(in_part, ['stages.*.preprocessing.normalisation=[{"kind":"zscore"}]'])
    )


def test_voxels_that_make_an_image_nobody_can_hold(fingerprint):
    with pytest.raises(
        PlanError, match=r"^stages\.2d\.preprocessing\.spacing_mm: with voxels of 0\.00001 × 0\.00001 mm the "
    ):
        make_plan(fingerprint, Budget(), settings=["stages.2d.preprocessing.spacing_mm=[1e-5,1e-5]"])


@pytest.mark.usefixtures("arithmetic")
@pytest.mark.parametrize(
    ("like", "settings", "memory_gb", "named"),
    [
        (None, [], 0.001, "--like default: stage 2d with 4→8 features, batches of 1 and "),
        (None, ["stages.2d.sampling.batch_size=9999"], 1.0, "--like default --set stages.2d.sampling.batch_size=9999:"),
        # What nnU-Net's rules found to fit a memory is taken for as much; nothing larger is.
        ("nnunet", [], 0.001, None),
        ("nnunet", [], 0.0009, "--like default: stage 2d"),
        ("nnunet", ["stages.2d.sampling.batch_size=2"], 0.001, "--like default --set stages.2d.sampling.batch_size=2:"),
        ("standard", [], 0.001, "--like default: stage 2d"),
    ],
)
def test_a_plan_that_is_taken_fits_the_memory(fingerprint, plan, workspace, like, settings, memory_gb, named):
    other = plan.model_copy(update={"preset": like, "budget": Budget(memory_gb=0.001)})
    asked = Request(device="cpu", memory_gb=memory_gb, like=other, settings=settings)
    if named is None:
        assert plan_in_workspace(fingerprint, workspace, "taken", asked).stages == plan.stages
        return
    with pytest.raises(PlanError) as raised:
        plan_in_workspace(fingerprint, workspace, "taken", asked)
    assert str(raised.value).startswith(named)
    assert not workspace.path.exists()


@pytest.mark.usefixtures("arithmetic")
def test_what_was_taken_from_a_plan_of_nnunet_can_be_taken_again(fingerprint, plan, workspace):
    """Its stages need more than 1 MB by prediction, and nnU-Net's rules found them to fit."""
    other = plan.model_copy(update={"preset": "nnunet", "budget": Budget(memory_gb=0.001)})
    first = plan_in_workspace(fingerprint, workspace, "a", Request(device="cpu", memory_gb=0.001, like=other))
    second = plan_in_workspace(fingerprint, workspace, "b", Request(device="cpu", memory_gb=0.001, like=first))
    assert second.stages == plan.stages
    with pytest.raises(PlanError, match=r"--like b: stage 2d .* needs"):
        plan_in_workspace(fingerprint, workspace, "c", Request(device="cpu", memory_gb=0.0009, like=second))


@pytest.mark.usefixtures("arithmetic")
@pytest.mark.parametrize("options", [{}, {"settings": ["stages.2d.training.seed=5"]}, {"minutes": 3.0}])
def test_asking_for_another_plan_twice_changes_nothing(fingerprint, plan, workspace, options):
    asked = Request(like=plan, **options)
    first = plan_in_workspace(fingerprint, workspace, "taken", asked)
    begin_training(workspace, first)
    assert plan_in_workspace(fingerprint, workspace, "taken", asked) == first
    other = with_settings(plan, ["stages.2d.training.seed=6"])
    with pytest.raises(WorkspaceError, match=r"\(--like default\)"):
        plan_in_workspace(fingerprint, workspace, "taken", Request(like=other))


@pytest.mark.usefixtures("arithmetic")
def test_stages_that_were_taken_were_not_derived_by_a_preset(fingerprint, plan, workspace):
    taken = plan_in_workspace(fingerprint, workspace, "taken", Request(like=plan))
    assert taken.preset is None
    begin_training(workspace, taken)
    with pytest.raises(WorkspaceError, match=r"\(--preset standard, the plan was not derived by a preset\)"):
        plan_in_workspace(fingerprint, workspace, "taken", Request(preset="standard"))


def test_stages_that_are_taken_are_not_timed(fingerprint, plan, workspace):
    with pytest.raises(PlanError, match="--timings chooses networks that are fast enough, --like takes them as they"):
        plan_in_workspace(fingerprint, workspace, "default", Request(like=plan, minutes=5, timings=timed_plan(plan, 1)))


def test_stages_are_derived_or_taken(fingerprint, plan, workspace):
    with pytest.raises(PlanError) as raised:
        plan_in_workspace(fingerprint, workspace, "default", Request(like=plan, preset="nnunet"))
    assert str(raised.value) == (
        "--preset nnunet derives the stages, --like default takes them as they are: give one of the two."
    )
    assert not workspace.path.exists()


def test_minutes_go_with_the_budget(fingerprint, plan):
    taken = retarget(plan, fingerprint, Budget(minutes=3.0), "taken")
    assert {stage.training.minutes for stage in taken.stages.values()} == {3.0}
    assert taken.budget == Budget(minutes=3.0)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"channels": ("CT", "PET")}, "--like: plan 'default' is for 1 channels, this dataset has 2."),
        (
            {"labels": Labels(values={"background": 0, "kidney": 1})},
            "--like: plan 'default' is for 3 network outputs, this dataset has 2.",
        ),
    ],
)
def test_a_plan_for_a_dataset_of_another_kind(fingerprint, plan, change, text):
    other = fingerprint.model_copy(update={"dataset": fingerprint.dataset.model_copy(update=change)})
    with pytest.raises(PlanError) as raised:
        retarget(plan, other, Budget(), "taken")
    assert str(raised.value) == text
