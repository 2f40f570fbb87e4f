"""Plans on disk, the values set in them, and what is said of each kind of mistake."""

from __future__ import annotations

import json
import re

import pytest

from autoseg.errors import PlanError
from autoseg.plan import Decision, check_plan, plan_schema, read_plan, with_settings, write_plan
from autoseg.plan.files import check_target
from autoseg.plan.postprocessing import KeepLargest


def test_written_and_read_back(tmp_path, plan):
    path = tmp_path / "plans" / "default.json"
    write_plan(path, plan)
    assert read_plan(path) == plan
    assert [file.name for file in path.parent.iterdir()] == ["default.json"]
    assert json.loads(path.read_text())["stages"]["2d"]["training"]["epochs"] == 1000  # defaults are spelt out


def test_a_plan_cannot_be_changed(plan):
    with pytest.raises(ValueError, match="frozen"):
        plan.stages["2d"].training.epochs = 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "{path}: no such file.", id="absent"),
        pytest.param(
            "stages: 2d",
            "{path}: not a JSON file (Expecting value: line 1 column 1 (char 0)). Mend it or remove it.",
            id="not JSON",
        ),
        pytest.param(
            "[1, 2]",
            "{path}: not a plan of format 1 (found 'list'). Remove it, and derive it again with 'autoseg plan'.",
            id="a list",
        ),
        pytest.param(
            '{"format": 2}',
            "{path}: not a plan of format 1 (found 2). Remove it, and derive it again with 'autoseg plan'.",
            id="a later format",
        ),
        pytest.param(
            "{}",
            "{path}: not a plan of format 1 (found None). Remove it, and derive it again with 'autoseg plan'.",
            id="no format",
        ),
        pytest.param(
            '{"format": 1, "budget": {}, "stages": {}}',
            "{path}: the plan breaks 2 rules\n"
            "  dataset: is missing\n"
            "  stages: must have 1 entry or more (found {{}})\n"
            "Mend the file, or remove it and derive the plan again with 'autoseg plan'.",
            id="rules",
        ),
    ],
)
def test_files_that_are_no_plan(tmp_path, content, message):
    path = tmp_path / "plan.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(PlanError) as refused:
        read_plan(path)
    assert str(refused.value) == message.format(path=path)


def test_a_folder_is_no_plan(tmp_path):
    with pytest.raises(PlanError) as refused:
        read_plan(tmp_path)
    example = tmp_path / "plans" / "default.json"
    assert str(refused.value) == f"{tmp_path}: a folder; give the file of a plan, such as {example}."


RESIDUAL = {
    "kind": "residual_encoder_unet",
    "features": [4, 8],
    "kernels": [[3, 3], [3, 3]],
    "strides": [[1, 1], [2, 4]],
    "encoder_blocks": [1, 3],
    "decoder_convolutions": [1],
}
FAULTS = [
    # where, what is put there, the line about it
    ("stages.2d.training", {"epoch": 3}, "stages.2d.training.epoch: no such field; did you mean 'epochs'?"),
    ("stages.2d.training", {"xyzzy": 3}, "stages.2d.training.xyzzy: no such field."),
    ("bugdet", {}, "bugdet: no such field; did you mean 'budget'?"),
    (
        "stages.2d.training",
        {"epochs": "ten"},
        'stages.2d.training.epochs: must be a whole number (found "ten")',
    ),
    (
        "stages.2d.training",
        {"epochs": 0},
        "stages.2d.training.epochs: must be greater than or equal to 1 (found 0)",
    ),
    (
        "stages.2d.training",
        {"minutes": float("nan")},
        "stages.2d.training.minutes: must be a finite number (found NaN)",
    ),
    (
        "stages.2d.training",
        {"precision": "float64"},
        "stages.2d.training.precision: must be 'float32', 'bfloat16' or 'float16' (found \"float64\")",
    ),
    ("stages.2d.training", {"epochs": True}, "stages.2d.training: epochs must be a number (found true)"),
    ("stages.2d.training", {"minutes": False}, "stages.2d.training: minutes must be a number (found false)"),
    (
        "stages.2d.optimizer",
        {"kind": "adam", "learning_rate": 1e300},
        "stages.2d.optimizer.learning_rate: must be less than or equal to 100 (found 1e+300)",
    ),
    ("stages.2d.sampling", {"patch_size": [16, 24]}, "stages.2d.sampling.batch_size: is missing"),
    (
        "stages.2d.sampling.patch_size",
        [8, 16, 16],
        "stages.2d: sampling.patch_size has 3 axes in a stage of 2 dimensions: (8, 16, 16)",
    ),
    (
        "stages.2d.preprocessing.spacing_mm",
        [3.0, 1.0, 1.0],
        "stages.2d: preprocessing.spacing_mm has 3 axes in a stage of 2 dimensions: (3.0, 1.0, 1.0)",
    ),
    (
        "stages.2d.dimensions",
        3,
        "stages.2d: preprocessing.spacing_mm has 2 axes in a stage of 3 dimensions: (1.0, 0.5)",
    ),
    ("stages.2d.dimensions", 4, "stages.2d.dimensions: must be 2 or 3 (found 4)"),
    (
        "stages.2d.preprocessing.spacing_mm",
        [1.0, 0.0],
        "stages.2d.preprocessing.spacing_mm.1: must be greater than or equal to 0.000001 (found 0.0)",
    ),
    (
        "stages.2d.preprocessing.axis_order",
        [0, 1, 1],
        "stages.2d.preprocessing: axis_order must name each of the axes 0, 1, 2 once, not (0, 1, 1)",
    ),
    (
        "stages.2d.preprocessing.normalisation",
        [{"kind": "zscore"}, {"kind": "none"}],
        "plan: stages.2d.preprocessing.normalisation has 2 entries for 1 channel",
    ),
    (
        "stages.2d.preprocessing.normalisation",
        [],
        "stages.2d.preprocessing.normalisation: must have 1 entry or more (found [])",
    ),
    (
        "stages.2d.preprocessing.normalisation.0",
        {"kind": "ct", "lower": -100, "upper": 300, "std": 50},
        "stages.2d.preprocessing.normalisation.0.mean: is missing",
    ),
    (
        "stages.2d.preprocessing.normalisation.0",
        {"kind": "z-score"},
        "stages.2d.preprocessing.normalisation.0: kind 'z-score' is none of 'zscore', 'ct', 'rescale_0_1', 'rgb', "
        "'none'",
    ),
    (
        "stages.2d.preprocessing.normalisation.0",
        {"kind": "ct", "lower": 300, "upper": -100, "mean": 40, "std": 50},
        "stages.2d.preprocessing.normalisation.0: lower 300 is above upper -100",
    ),
    # patches and strides (2, 4)
    (
        "stages.2d.sampling.patch_size",
        [17, 30],
        "stages.2d: sampling.patch_size [17, 30] is not divisible by the network's strides, [2, 4] in all; "
        "the nearest that works: [16, 32]",
    ),
    (
        "stages.2d.sampling.patch_size",
        [1, 1],
        "stages.2d: sampling.patch_size [1, 1] is not divisible by the network's strides, [2, 4] in all; "
        "the nearest that works: [4, 4]",
    ),
    (
        "stages.2d.sampling.patch_size",
        [2, 4],
        "stages.2d: sampling.patch_size [2, 4]: the strides, [2, 4] in all, leave one voxel of it, which cannot be "
        "normalised; the nearest that works: [4, 4]",
    ),
    (
        "stages.2d.sampling.patch_size",
        [2, 5],  # the nearest multiple is [2, 4], of which one voxel is left
        "stages.2d: sampling.patch_size [2, 5] is not divisible by the network's strides, [2, 4] in all; "
        "the nearest that works: [4, 4]",
    ),
    (
        "stages.2d.sampling.patch_size",
        [1, 7],
        "stages.2d: sampling.patch_size [1, 7] is not divisible by the network's strides, [2, 4] in all; "
        "the nearest that works: [2, 8]",
    ),
    (
        "stages.2d.sampling.patch_size",
        [0, 4],
        "stages.2d.sampling.patch_size.0: must be greater than 0 (found 0)",
    ),
    (
        "stages.2d.sampling",
        {"patch_size": [32768, 32768], "batch_size": 4096},
        "stages.2d.sampling: a batch of 4096 patches of [32768, 32768] voxels fits no machine; give a smaller "
        "patch_size or batch_size",
    ),
    (
        "stages.2d.sampling.patch_size",
        [1000000, 1000000],
        "stages.2d.sampling: a batch of 2 patches of [1000000, 1000000] voxels fits no machine; give a smaller "
        "patch_size or batch_size",
    ),
    # networks
    (
        "stages.2d.network.features",
        [4, 8, 16],
        "stages.2d.network: kernels has 2 entries; with 3 levels, as many as features, it needs 3",
    ),
    (
        "stages.2d.network.decoder_convolutions",
        [2, 2],
        "stages.2d.network: decoder_convolutions has 2 entries; with 2 levels, as many as features, it needs 1",
    ),
    (
        "stages.2d.network.strides",
        [[2, 2], [2, 2]],
        "stages.2d.network: the first stage's stride must be all ones, not (2, 2)",
    ),
    (
        "stages.2d.network.strides",
        [[1, 1], [2, 0]],
        "stages.2d.network.strides.1.1: must be greater than 0 (found 0)",
    ),
    (
        "stages.2d.network.strides",
        [[1, 1], [2, 2, 2]],
        "stages.2d.network: kernels and strides have 2 and 3 axes; all need the same number",
    ),
    (
        "stages.2d.network.kernels",
        [[3, 3], [3, 4]],
        "stages.2d.network: kernels must be odd, so that the output is as large as the input, not 4",
    ),
    ("stages.2d.network.features", [0, 8], "stages.2d.network.features.0: must be greater than 0 (found 0)"),
    (
        "stages.2d.network",
        {"features": [4, 8]},
        "stages.2d.network: kind is missing. There is: block_unet, dense_v_net, plain_unet, "
        "residual_encoder_unet, se_resnext_v_net, v_net.",
    ),
    (
        "stages.2d.augmentation.0",
        {"probability": 0.1},
        "stages.2d.augmentation.0: kind is missing. There is: batchgenerators, blur, brightness, contrast, copies, "
        "gamma, low_resolution, mirror, noise, previous_binary, previous_components, spatial, zero_outside.",
    ),
    (
        "stages.2d.network",
        RESIDUAL | {"encoder_convolutions": [2, 2]},
        "stages.2d.network.encoder_convolutions: no field of this part of the plan.",
    ),
    (
        "stages.2d.network",
        RESIDUAL | {"encoder_blocks": [1, 0]},
        "stages.2d.network.encoder_blocks.1: must be greater than 0 (found 0)",
    ),
    (
        "stages.2d.loss",
        [{"kind": "dice", "smooth": -1}],
        "stages.2d.loss.0.smooth: must be greater than or equal to 0 (found -1)",
    ),
    ("stages.2d.loss.1.weight", -1, "stages.2d.loss.1.weight: must be greater than 0 (found -1)"),
    ("stages.2d.loss", [], "stages.2d.loss: must have 1 entry or more (found [])"),
    # augmentation
    (
        "stages.2d.augmentation.1",
        {"kind": "noise", "std": {"low": 0.3, "high": 0.1}},
        "stages.2d.augmentation.1.std: low 0.3 lies above high 0.1",
    ),
    (
        "stages.2d.augmentation.1",
        {"kind": "noise", "probability": 1.5},
        "stages.2d.augmentation.1.probability: must be less than or equal to 1 (found 1.5)",
    ),
    (
        "stages.2d.augmentation.1",
        {"kind": "noise", "sdt": {"low": 0.1, "high": 0.1}},
        "stages.2d.augmentation.1.sdt: no such field; did you mean 'std'?",
    ),
    (
        "stages.2d.augmentation.2.axes",
        [1, 2],
        "stages.2d: augmentation.2.axes [1, 2]: a stage of 2 dimensions has axes 0 to 1, "
        "and each is named once at most",
    ),
    (
        "stages.2d.inference",
        {"mirror_axes": [-1]},
        "stages.2d: inference.mirror_axes [-1]: a stage of 2 dimensions has axes 0 to 1, "
        "and each is named once at most",
    ),
    (
        "stages.2d.inference",
        {"overlap": 1.0},
        "stages.2d.inference.overlap: must be less than or equal to 0.9 (found 1.0)",
    ),
    # the whole
    ("name", "../other", "name: must match pattern '^[A-Za-z0-9][A-Za-z0-9._-]*$' (found \"../other\")"),
    ("name", 101 * "x", f'name: must have at most 100 characters (found "{79 * "x"})'),
    (
        "dataset.labels",
        {"values": {"background": 0, "kidney": 1, "tumour": 1}},
        "dataset.labels: two labels have the same value: {'background': 0, 'kidney': 1, 'tumour': 1}",
    ),
    (
        "dataset.labels.regions",
        {"organ": {"values": [1], "paint": 1}},
        "plan: stages.2d.loss.0: cross_entropy is for classes that exclude each other, and this dataset's regions "
        "overlap; take binary_cross_entropy",
    ),
]


@pytest.mark.parametrize(("path", "value", "line"), FAULTS, ids=[line for _, _, line in FAULTS])
def test_what_is_said_of_a_fault(data, path, value, line):
    put(data, path, value)
    with pytest.raises(PlanError) as refused:
        check_plan(data, "plan.json")
    assert str(refused.value) == f"plan.json: the plan breaks one rule\n  {line}"


def test_stages_whose_folders_are_one_where_case_does_not_count(data):
    data["stages"]["2D"] = data["stages"]["2d"]
    with pytest.raises(PlanError, match=r"stages\.2d and stages\.2D have one name but for upper case"):
        check_plan(data, "plan.json")


def test_every_fault_has_its_line(data):
    put(data, "stages.2d.training", {"epochs": 0, "sead": 1})
    put(data, "stages.2d.sampling", {"patch_size": [16, 24]})
    with pytest.raises(PlanError) as refused:
        check_plan(data, "plan.json")
    assert str(refused.value).splitlines() == [
        "plan.json: the plan breaks 3 rules",
        "  stages.2d.sampling.batch_size: is missing",
        "  stages.2d.training.epochs: must be greater than or equal to 1 (found 0)",
        "  stages.2d.training.sead: no such field; did you mean 'seed'?",
    ]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("stages.2d.training.epochs=50", 50),
        ("stages.2d.training.minutes=2.5", 2.5),
        ("stages.2d.training.minutes=null", None),
        ("stages.2d.training.precision=bfloat16", "bfloat16"),  # no quotes needed
        ('stages.2d.training.precision="bfloat16"', "bfloat16"),
        ("stages.2d.sampling.patch_size=[32,32]", [32, 32]),
        ("stages.2d.sampling.patch_size.1=32", 32),
        ("stages.2d.augmentation.1.std.high=0.5", 0.5),
        ("stages.2d.loss.1.over_batch=false", False),
        ('stages.2d.loss=[{"kind":"dice"}]', [{"kind": "dice"}]),
    ],
)
def test_a_value_set_by_hand(plan, setting, value):
    changed = with_settings(plan, [setting])
    path = setting.partition("=")[0]
    found = look_up(changed.model_dump(mode="json"), path)
    assert found == value or value == [{"kind": "dice"}] and found[0]["smooth"] == 1e-5
    decision = changed.decisions[path]
    assert (decision.value, decision.rule, decision.reason) == (value, "hand-set", "Set by hand.")
    # Nothing else has changed, and the plan that was given has not changed at all.
    back = put(changed.model_dump(mode="json"), path, look_up(plan.model_dump(mode="json"), path))
    del back["decisions"][path]
    assert check_plan(back, "") == plan


def test_a_file_that_begins_with_a_mark(tmp_path, data, plan):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(data), encoding="utf-8-sig")  # as Windows' editors write it
    assert read_plan(path) == plan


def test_no_settings_no_change(plan):
    assert with_settings(plan, []) == plan


def test_later_settings_win(plan):
    changed = with_settings(plan, ["stages.2d.training.epochs=5", "stages.2d.training.epochs=6"])
    assert changed.stages["2d"].training.epochs == 6
    assert changed.decisions["stages.2d.training.epochs"].value == 6


def test_all_stages_at_once(data):
    data["stages"]["other"] = data["stages"]["2d"]
    changed = with_settings(check_plan(data, ""), ["stages.*.training.seed=7"])
    assert [stage.training.seed for stage in changed.stages.values()] == [7, 7]
    assert set(changed.decisions) == {"stages.2d.training.seed", "stages.other.training.seed"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "stages.2d.training.epoch=3",
            "--set stages.2d.training.epoch: stages.2d.training has no 'epoch'; did you mean 'epochs'?",
        ),
        (
            "stages.*.training.epoch=3",
            "--set stages.2d.training.epoch: stages.2d.training has no 'epoch'; did you mean 'epochs'?",
        ),
        (
            "stages.2d.traning.epochs=3",
            "--set stages.2d.traning.epochs: stages.2d has no 'traning'; did you mean 'training'?",
        ),
        ("stages.3d.training.epochs=3", "--set stages.3d.training.epochs: stages has no '3d'. There is: 2d."),
        ("stage=3", "--set stage: the plan has no 'stage'; did you mean 'stages'?"),
        (
            "stages.2d.augmentation.7.axes=[]",
            "--set stages.2d.augmentation.7.axes: stages.2d.augmentation has no '7'. There is: 0, 1, 2.",
        ),
        (
            "stages.2d.training.epochs.x=3",
            "--set stages.2d.training.epochs.x: stages.2d.training.epochs has no 'x'.",
        ),
        ("epochs", "--set epochs: expected PATH=VALUE, as in stages.3d_fullres.training.epochs=50"),
        (
            'stages.2d.sampling={"patch_size":[16,24],"batch_size":2,"batch_size":8}',
            '--set stages.2d.sampling={"patch_size":[16,24],"batch_size":2,"batch_size":8}: '
            "'batch_size' is given twice. Keep one of the two.",
        ),
        ("=50", "--set =50: expected PATH=VALUE, as in stages.3d_fullres.training.epochs=50"),
        (
            "dataset.name=a=b",  # only the first = parts path from value
            "--set dataset.name: only values of stages are set by hand; a path begins with 'stages.'",
        ),
        (
            "stages.2d.training.epochs=0",
            "after --set stages.2d.training.epochs=0: the plan breaks one rule\n"
            "  stages.2d.training.epochs: must be greater than or equal to 1 (found 0)",
        ),
        (
            "stages.2d.sampling.patch_size=[20,21]",
            "after --set stages.2d.sampling.patch_size=[20,21]: the plan breaks one rule\n"
            "  stages.2d: sampling.patch_size [20, 21] is not divisible by the network's strides, [2, 4] in all; "
            "the nearest that works: [20, 20]",
        ),
        (
            "stages.2d.sampling.patch_size=32",
            "after --set stages.2d.sampling.patch_size=32: the plan breaks one rule\n"
            "  stages.2d.sampling.patch_size: must be a list; write it as [16,24], which it was (found 32)",
        ),
        (
            "stages.2d.network.kernels.1=3",
            "after --set stages.2d.network.kernels.1=3: the plan breaks one rule\n"
            "  stages.2d.network.kernels.1: must be a list; write it as [3,3], which it was (found 3)",
        ),
        (
            "stages.2d.preprocessing.normalisation.0.kind=rgb",
            "after --set stages.2d.preprocessing.normalisation.0.kind=rgb: the plan breaks one rule\n"
            "  stages.2d.preprocessing.normalisation.0.inside_mask: no field of this part of the plan.\n"
            "With another kind come other fields. Set the whole: --set "
            '\'stages.2d.preprocessing.normalisation.0={"kind":"rgb"}\'',
        ),
        (
            "stages.*.network.kind=residual_encoder_unet",
            "after --set stages.*.network.kind=residual_encoder_unet: the plan breaks 2 rules\n"
            "  stages.2d.network.encoder_blocks: is missing\n"
            "  stages.2d.network.encoder_convolutions: no field of this part of the plan.\n"
            "With another kind come other fields. Set the whole: --set "
            '\'stages.2d.network={"kind":"residual_encoder_unet",…}\'',
        ),
    ],
)
def test_a_setting_that_does_not_fit(plan, setting, message):
    with pytest.raises(PlanError) as refused:
        with_settings(plan, [setting])
    assert str(refused.value) == message


@pytest.mark.parametrize("patch", [(z, y) for z in range(1, 6) for y in range(1, 10)])
def test_a_patch_that_is_suggested_is_valid(data, patch):
    """The strides are 2 and 4 in all, and of a patch of that size they would leave one voxel."""
    put(data, "stages.2d.sampling.patch_size", list(patch))
    taken = patch
    try:
        check_plan(data, "plan.json")
    except PlanError as refused:
        taken = tuple(json.loads(str(refused).rpartition(": ")[2]))
        put(data, "stages.2d.sampling.patch_size", list(taken))
    assert check_plan(data, "plan.json").stages["2d"].sampling.patch_size == taken
    assert taken[0] % 2 == 0 and taken[1] % 4 == 0 and taken > (2, 4)
    assert (taken == patch) == (patch[0] % 2 == 0 and patch[1] % 4 == 0 and patch != (2, 4))


def test_schema_for_editors():
    schema = json.loads(json.dumps(plan_schema()))  # it is JSON
    parts = {"Plan": schema, **schema["$defs"]}
    assert all(part["additionalProperties"] is False for part in parts.values())  # so that typos are marked
    assert schema["required"] == ["dataset", "budget", "stages"]
    assert parts["Training"]["properties"]["epochs"]["minimum"] == 1
    assert parts["Training"]["properties"]["precision"]["enum"] == ["float32", "bfloat16", "float16"]
    kinds = parts["Stage"]["properties"]["augmentation"]["items"]["discriminator"]["mapping"]
    assert " ".join(sorted(kinds)) == (
        "batchgenerators blur brightness contrast copies gamma low_resolution mirror noise previous_binary "
        "previous_components spatial zero_outside"
    )
    assert "rotation_degrees: range of the angle" in parts["Spatial"]["description"]  # what a field is for


def put(data, path, value):
    """Puts a value into JSON, with none of the checks that are under test."""
    *parents, last = path.split(".")
    here = look_up(data, ".".join(parents)) if parents else data
    here[int(last) if isinstance(here, list) else last] = value
    return data


def look_up(data, path):
    for part in path.split("."):
        data = data[int(part) if isinstance(data, list) else part]
    return data


def test_decisions_about_what_was_replaced_are_dropped(plan):
    old = {"stages.2d.training.seed": Decision(value=0, rule="conventions", reason="Any number does.")}
    decided = plan.model_copy(update={"decisions": old})
    changed = with_settings(decided, ['stages.2d.training={"epochs": 2}'])
    assert list(changed.decisions) == ["stages.2d.training"]


def test_a_stage_that_was_taken_stays_so_but_for_what_is_set(plan):
    taken = {"stages.2d": Decision(value="other", rule="like", reason="All of it is taken.")}
    changed = with_settings(plan.model_copy(update={"decisions": taken}), ["stages.2d.training.seed=3"])
    assert list(changed.decisions) == ["stages.2d", "stages.2d.training.seed"]
    assert changed.decisions["stages.2d"] == taken["stages.2d"]


def test_decisions_are_in_the_order_they_were_made(plan):
    changed = with_settings(plan, ["stages.2d.training.seed=3", "stages.2d.training.epochs=5"])
    again = with_settings(changed, ["stages.2d.training.seed=4"])
    assert list(again.decisions) == ["stages.2d.training.epochs", "stages.2d.training.seed"]


def test_a_plan_may_take_the_place_of_a_plan_or_of_nothing(tmp_path, plan):
    """It is only looked: nothing is written."""
    write_plan(tmp_path / "plan.json", plan)
    before = (tmp_path / "plan.json").read_bytes()
    check_target(tmp_path / "plan.json")
    check_target(tmp_path / "new" / "folder" / "plan.json")
    assert (tmp_path / "plan.json").read_bytes() == before
    assert list(tmp_path.iterdir()) == [tmp_path / "plan.json"]


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("dataset.json", "there already, and not a plan. Give another name."),
        ("text", "there already, and not a plan. Give another name."),
        ("/dev/null", "there already, and not a plan. Give another name."),
        ("", "not a place for a file. Give the name of a file, such as plan.json."),
    ],
)
def test_a_plan_takes_the_place_of_nothing_else(tmp_path, place, problem):
    (tmp_path / "dataset.json").write_text('{"labels": {}}')
    (tmp_path / "text").write_bytes(b"\xff not UTF-8")
    target = tmp_path / place
    with pytest.raises(PlanError) as raised:
        check_target(target)
    assert str(raised.value) == f"{target}: {problem}"
    with pytest.raises(PlanError) as raised:
        check_target(tmp_path / "text" / "new" / "plan.json")
    assert str(raised.value) == f"{tmp_path / 'text'}: a file, and a folder is needed there. Give another name."


@pytest.mark.parametrize(
    "setting",
    [
        "training.seed=1180591620717411303424",
        "training.epochs=1000000000000000000000",
        "sampling.batch_size=1125899906842624",
        "sampling.patch_size.0=1000000000000000000000000000000",
        "network.features=[4,99999999999]",
    ],
)
def test_numbers_that_no_machine_can_use_are_refused(plan, setting):
    with pytest.raises(PlanError, match="less than"):
        with_settings(plan, [f"stages.2d.{setting}"])


def test_views_and_postprocessing(data):
    """No two views alike, none that the patch does not allow, and no rule for what is not predicted."""
    stage = data["stages"]["2d"]
    stage["inference"] = {"views": [{}, {"quarter_turns": 2}, {"flips": [0]}]}
    stage["postprocessing"] = [{"kind": "keep_largest", "target": "kidney", "count": 2}]
    read = check_plan(data, "plan.json").stages["2d"]
    assert [view.quarter_turns for view in read.inference.views] == [0, 2, 0]
    assert read.postprocessing == (KeepLargest(target="kidney", count=2),)
    faults = [
        ({"views": [{"flips": [0, 1]}, {}, {"quarter_turns": 2}]}, "views[2] is the same view as inference.views[0]"),
        ({"views": [{"quarter_turns": 1}]}, "turns a window by 90°, and sampling.patch_size [16, 24] is not square"),
        ({"views": [{"flips": [2]}]}, "views[0].flips [2]: a stage of 2 dimensions has axes 0 to 1"),
        (
            {"views": [{}], "mirror_axes": [1]},
            "1 are listed, and mirror_axes [1] name others; set one of the two to []",
        ),
    ]
    for inference, said in faults:
        stage["inference"] = inference
        with pytest.raises(PlanError, match=re.escape(said)):
            check_plan(data, "plan.json")
    stage["inference"] = {}
    stage["postprocessing"] = [{"kind": "fill_holes", "target": "liver"}]
    said = "stages.2d.postprocessing[0].target 'liver' is nothing this dataset predicts; name one of kidney"
    with pytest.raises(PlanError, match=re.escape(said)):
        check_plan(data, "plan.json")
