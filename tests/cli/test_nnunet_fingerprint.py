"""A folder that holds nnU-Net's dataset.json and dataset_fingerprint.json, and nothing else."""

from __future__ import annotations

import json

import pytest

from autoseg.plan import read_plan

PLANNED = ("--device", "cpu", "--memory", 8, "--preset", "nnunet")
CHANNEL = {
    "max": 1500.0,
    "mean": 100.0,
    "median": 101.0,
    "min": -900.0,
    "percentile_00_5": -79.0,
    "percentile_99_5": 304.0,
    "std": 77.0,
}


def write(folder, dataset, measured):
    folder.mkdir()
    (folder / "dataset.json").write_text(json.dumps(dataset))
    (folder / "dataset_fingerprint.json").write_text(json.dumps(measured))
    return folder


@pytest.fixture
def folder(tmp_path):
    """Twelve CTs of 64 × 96 × 96 voxels."""
    return write(
        tmp_path / "Dataset001_Small",
        {
            "channel_names": {"0": "CT"},
            "labels": {"background": 0, "organ": 1},
            "numTraining": 12,
            "file_ending": ".nii.gz",
        },
        {
            "spacings": [[2.0, 1.0, 1.0]] * 12,
            "shapes_after_crop": [[64, 96, 96]] * 12,
            "foreground_intensity_properties_per_channel": {"0": CHANNEL},
            "median_relative_size_after_cropping": 1.0,
        },
    )


@pytest.mark.parametrize("options", [PLANNED, PLANNED[:-2]])
def test_a_plan_lands_in_the_workspace_and_where_it_is_asked_for(autoseg, folder, tmp_path, options):
    work, output = tmp_path / "work", tmp_path / "plan.json"
    ran = autoseg("plan", folder, "-w", work, *options, "-o", output, "--explain")
    assert ran.code == 0, ran.err
    plan = read_plan(output)
    assert plan == read_plan(work / "plans" / "default.json")
    assert plan.dataset.name == "Dataset001_Small"
    assert set(plan.stages) >= {"2d", "3d_fullres"}
    window = plan.stages["3d_fullres"].preprocessing.normalisation[0]
    assert (window.kind, window.lower, window.upper) == ("ct", -79, 304)


@pytest.mark.parametrize("command", ["check", "fingerprint", "preprocess", "train", "run"])
def test_nothing_else_can_be_done_with_it(autoseg, folder, tmp_path, command):
    where = () if command == "check" else ("-w", tmp_path / "work")
    ran = autoseg(command, folder, *where)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        f"autoseg: {folder}: holds nnU-Net's dataset_fingerprint.json and no images. A plan can be derived from it "
        f"('autoseg plan {folder} --preset nnunet -o plan.json'); for all else, give the folder that holds imagesTr "
        "and labelsTr."
    )
    assert not (tmp_path / "work").exists()


def test_a_faulty_one(autoseg, folder, tmp_path):
    (folder / "dataset_fingerprint.json").write_text('{"spacings": [[1, 1]]}')
    ran = autoseg("plan", folder, "-w", tmp_path / "work", *PLANNED)
    assert ran.code == 2
    assert "dataset_fingerprint.json: field 'spacings.0' must be three numbers, not [1, 1]." in ran.err


@pytest.mark.parametrize("dataset", ["hippocampus", "acdc_like", "liver_like", "brats_like", "em2d_like"])
def test_the_same_plan_as_nnunet(autoseg, real_data, tmp_path, dataset):
    reference = json.loads(real_data("plan_references.json").read_text())[dataset]
    folder = write(tmp_path / dataset, reference["dataset"], reference["fingerprint"])
    ran = autoseg("plan", folder, "-w", tmp_path / "work", *PLANNED, "-o", tmp_path / "plan.json")
    assert ran.code == 0, ran.err
    theirs = reference["plans"]["ExperimentPlanner@8"]
    ours = read_plan(tmp_path / "plan.json").stages
    assert set(ours) == {name.replace("_cascade_fullres", "_cascade") for name in theirs} - {"transpose"}
    for name in set(ours) & set(theirs):
        stage, expected = ours[name], theirs[name]
        assert list(stage.sampling.patch_size) == expected["patch_size"]
        assert stage.sampling.batch_size == expected["batch_size"]
        assert list(stage.preprocessing.spacing_mm) == pytest.approx(expected["spacing"])
        assert [list(stride) for stride in stage.network.strides] == expected["strides"]
        schemes = {"zscore": "ZScoreNormalization", "ct": "CTNormalization"}
        assert [schemes[how.kind] for how in stage.preprocessing.normalisation] == expected["normalization_schemes"]
