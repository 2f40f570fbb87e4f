from __future__ import annotations

import json

import pytest

from autoseg.plan import read_plan


def test_explain(finished):
    ran = finished.said["plan"]
    plan = read_plan(finished.work / "plans" / "default.json")
    told = " ".join(ran.out.split())
    assert told.startswith("Plan 'default'")
    for stage in ("Stage 2d", "Stage 3d_fullres"):
        assert stage in told
    for words in (
        "voxel size",
        "preprocessing.spacing_mm",
        "sampling.patch_size",
        "1 GB of memory on the processor (cpu)",
    ):
        assert words in told
    by_hand = [path for path, decision in plan.decisions.items() if decision.rule == "hand-set"]
    assert told.count("<- set by hand") == len(by_hand) == 10
    assert "10 values set by hand: " in told
    assert f"Plan: {finished.work / 'plans' / 'default.json'}" in ran.err


def test_a_plan_is_written_elsewhere_as_well(finished):
    assert read_plan(finished.data.parent / "plan.json") == read_plan(finished.work / "plans" / "default.json")


def test_a_plan_that_is_there_is_used_again(autoseg, finished, contents):
    before = contents(finished.work)
    ran = autoseg("plan", finished.data, "-w", finished.work, "--memory", 1, "--explain")
    assert ran.code == 0
    assert ran.out == finished.said["plan"].out
    assert contents(finished.work) == before


def test_a_plan_like_another(autoseg, finished, own_work):
    arguments = ("--like", finished.data.parent / "plan.json", "--set", "stages.2d.training.seed=4", "--name", "mine")
    for _ in range(2):
        ran = autoseg("plan", finished.data, "-w", own_work, *arguments)
        assert ran.code == 0
    mine, other = read_plan(own_work / "plans" / "mine.json"), read_plan(own_work / "plans" / "default.json")
    assert (mine.name, mine.stages["2d"].training.seed) == ("mine", 4)
    assert mine.stages["3d_fullres"] == other.stages["3d_fullres"]


def test_a_plan_by_the_rules_of_nnunet(autoseg, finished, own_work):
    asked = ("--device", "cpu", "--memory", 8, "--preset", "nnunet-resenc-m", "--name", "residual")
    ran = autoseg("plan", finished.data, "-w", own_work, *asked)
    assert ran.code == 0
    plan = read_plan(own_work / "plans" / "residual.json")
    assert plan.preset == "nnunet-resenc-m"
    assert {stage.network.kind for stage in plan.stages.values()} == {"residual_encoder_unet"}
    again = autoseg("plan", finished.data, "-w", own_work, *asked)
    assert again.code == 0
    assert "keeping" in again.err


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--preset", "nnunet", "--like", "{plan}"),
            "--preset nnunet derives the stages, --like default takes them as they are: give one of the two.",
        ),
        (
            ("--preset", "nnunet-l"),
            "'nnunet-l' is none of standard, nnunet, nnunet-resenc-m, nnunet-resenc-l, nnunet-resenc-xl",
        ),
    ],
)
def test_rules_that_cannot_be_followed(autoseg, finished, tmp_path, command, options, message):
    written = [option.format(plan=finished.data.parent / "plan.json") for option in options]
    ran = autoseg(command, finished.data, "-w", tmp_path / "work", *written)
    assert ran.code == 2
    assert message in ran.err
    assert not (tmp_path / "work").exists()


def test_a_fingerprint_of_nnunet_is_enough_for_a_plan(autoseg, tmp_path):
    folder = tmp_path / "Dataset003_Liver"
    folder.mkdir()
    description = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}, "numTraining": 3}
    measured = {
        "spacings": [[1.0, 0.8, 0.8]] * 3,
        "shapes_after_crop": [[400, 512, 512]] * 3,
        "foreground_intensity_properties_per_channel": {
            "0": {
                **{"mean": 100.0, "median": 100.0, "std": 77.0, "min": -1000.0, "max": 3000.0},
                **{"percentile_00_5": -79.0, "percentile_99_5": 304.0},
            }
        },
        "median_relative_size_after_cropping": 1.0,
    }
    (folder / "dataset.json").write_text(json.dumps({**description, "file_ending": ".nii.gz"}))
    (folder / "dataset_fingerprint.json").write_text(json.dumps(measured))
    written = tmp_path / "plan.json"
    ran = autoseg("plan", folder, "-w", tmp_path / "work", "--preset", "nnunet", "--memory", 8, "-o", written)
    assert ran.code == 0
    plan = read_plan(written)
    assert list(plan.stages) == ["2d", "3d_lowres", "3d_fullres", "3d_cascade"]
    assert plan.stages["3d_fullres"].sampling.patch_size == (112, 160, 128)  # as nnU-Net says
    assert [path.name for path in (tmp_path / "work").rglob("*") if path.is_file()] == ["default.json"]
    refused = autoseg("run", folder, "-w", tmp_path / "work")
    assert refused.code == 2
    assert "holds nnU-Net's dataset_fingerprint.json and no images" in refused.err


def test_the_default_workspace(autoseg, kidneys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert autoseg("fingerprint", kidneys, "--jobs", 1).code == 0
    assert [path.name for path in (tmp_path / "autoseg-work" / "kidneys").iterdir()] == ["fingerprint.json"]


def test_minutes(autoseg, finished, own_work):
    """The candidates are timed, and the cheapest is taken where nothing is fast enough."""
    ran = autoseg("plan", finished.data, "-w", own_work, "--device", "cpu", "--minutes", 0.01, "--name", "quick")
    assert ran.code == 0
    plan = read_plan(own_work / "plans" / "quick.json")
    assert plan.budget.minutes == 0.01
    assert {stage.training.minutes for stage in plan.stages.values()} == {0.01}
    assert {stage.network.features[0] for stage in plan.stages.values()} == {8}
    timed = {timing.workload.partition(" ")[0] for timing in plan.budget.timings}
    assert timed == {f"{stage.dimensions}-D" for stage in plan.stages.values()}
    assert all(timing.seconds > 0.01 * 60 / 2000 for timing in plan.budget.timings)
