"""`autoseg run`: the whole path in one command, once, and again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import nullcontext

import pytest
import torch

from autoseg.errors import TrainingError
from autoseg.evaluation import read_scores
from autoseg.plan import read_plan

SHORT = (
    "stages.*.training.epochs=1",
    "stages.*.training.iterations_per_epoch=2",
    "stages.*.training.validation_iterations=1",
    "stages.*.network.features=[4, 8, 8, 8]",
)
SET = [part for setting in SHORT for part in ("--set", setting)]


def test_a_dry_run_trains_nothing(autoseg, kidneys, tmp_path):
    work = tmp_path / "work"
    ran = autoseg("run", kidneys, "-w", work, "--folds", "0,all", "--dry-run", "--memory", 1, *SET, "--jobs", 1)
    assert ran.code == 0
    for stage in ("2d", "3d_fullres"):
        for fold in (0, "all"):
            assert f"{stage}, fold {fold}: to train, 1 epoch" in ran.err
    assert sorted(path.name for path in work.rglob("*.*")) == ["default.json", "fingerprint.json"]
    assert not (work / "models").exists()


@pytest.mark.parametrize(
    ("asked", "trained_on"), [(("--device", "cuda:1"), "cuda:1"), (("--device", "auto"), None), ((), None)]
)
def test_a_gpu_by_its_number(autoseg, kidneys, tmp_path, monkeypatch, asked, trained_on):
    """The plan is for GPUs; the training goes to the one that was named."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr("autoseg.workflow.request.all_memory_gb", lambda device: 80.0)
    where = []
    monkeypatch.setattr("autoseg.workflow.pipeline._prepare", lambda *arguments: None)
    monkeypatch.setattr("autoseg.workflow.pipeline.train", lambda *arguments, **_: where.append(arguments[-1]))
    monkeypatch.setattr("autoseg.cli.run.show_model", lambda dataset, folder: None)
    options = ("--memory", 8, "--preset", "nnunet", "--stage", "2d", "--folds", 0, "--jobs", 1)
    ran = autoseg("run", kidneys, "-w", tmp_path, *asked, *options)
    assert (ran.code, where) == (0, [trained_on]), ran.err
    assert read_plan(tmp_path / "plans" / "default.json").budget.device == "cuda"
    again = autoseg("run", kidneys, "-w", tmp_path, *asked, *options)
    assert "keeping" in again.err


def test_a_dry_run_says_what_is_done(autoseg, finished, contents):
    before = contents(finished.work)
    ran = autoseg("run", finished.data, "-w", finished.work, "--folds", "0,1", "--dry-run")
    assert ran.code == 0
    assert "3d_fullres, fold 0: trained already" in ran.err
    assert "3d_fullres, fold 1: to train" in ran.err
    assert "2d, fold 0: to train" in ran.err
    assert contents(finished.work) == before


def test_in_a_shell_with_processes(autoseg, kidneys, tmp_path, monkeypatch, contents):
    """As a user types it: patches and cases are read by other processes; a second run finds all of it done."""
    arguments = ["run", str(kidneys), "--stage", "3d_fullres", "--folds", "1", "--memory", "1", *SET]
    command = [sys.executable, "-m", "autoseg", *arguments]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, cwd=tmp_path, env=one_thread, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "3d_fullres, fold 1, validation cases" in ran.stdout
    models = tmp_path / "autoseg-work" / "kidneys" / "models"
    before = contents(models)
    assert "default/3d_fullres/fold_1/weights.safetensors" in before
    monkeypatch.chdir(tmp_path)
    again = autoseg(*arguments)
    assert (again.code, again.out) == (0, "")
    dice = read_scores(models / "default" / "3d_fullres" / "fold_1" / "validation" / "scores.json").mean
    assert f"3d_fullres, fold 1: trained already, Dice {dice:.3f}" in again.err
    assert again.err.count("fold 1") == 1
    assert contents(models) == before


def test_a_failed_job_stops_only_what_builds_on_it(autoseg, kidneys, tmp_path, monkeypatch):
    def train(plan, stage, fold, *others, **more):
        if fold == 1:
            raise TrainingError(f"no luck with {stage}")

    monkeypatch.setattr("autoseg.workflow.pipeline._prepare", lambda *arguments: None)
    monkeypatch.setattr("autoseg.workflow.pipeline.train", train)
    shown = []
    monkeypatch.setattr("autoseg.cli.run.show_model", lambda dataset, folder: shown.append(folder.name))
    options = ("--memory", 1, "--stage", "2d", "--folds", "0,1,2", "--device", "cpu", "--jobs", 1, *SET)
    ran = autoseg("run", kidneys, "-w", tmp_path, *options)
    assert (ran.code, shown) == (2, ["fold_0", "fold_2"])
    assert (
        "2d, fold 1: no luck with 2d 1 of 4 jobs failed. Mend that and run the same command again; what is done is "
        "kept."
    ) in " ".join(ran.err.split())


def test_two_jobs_at_a_time(autoseg, kidneys, tmp_path):
    """On two devices, here twice the processor; what they say is in files, and the models are as they are elsewhere."""
    options = ("--memory", 1, "--stage", "2d", "--folds", "0,1", "--workers", 0, "--jobs", 1, *SET)
    ran = autoseg("run", kidneys, "-w", tmp_path, *options, "--devices", "cpu,cpu")
    assert ran.code == 0, ran.err
    logs = tmp_path / "models" / "default" / "logs"
    assert sorted(path.name for path in logs.iterdir()) == ["2d_fold_0.log", "2d_fold_1.log", "cases_for_2d.log"]
    assert "2d, fold 1: done" in ran.err and "2d, fold 0, validation cases" in ran.out
    assert "validating 2d, fold 1" in (logs / "2d_fold_1.log").read_text()
    assert autoseg("run", kidneys, "-w", tmp_path, *options, "--devices", "cpu", "--device", "cpu").code == 2


def test_a_broken_dataset_is_told_before_anything_is_written(autoseg, own_kidneys, tmp_path):
    (own_kidneys / "labelsTr" / "kidneys_001.nii.gz").unlink()
    ran = autoseg("run", own_kidneys, "-w", tmp_path / "work", "--jobs", 1)
    assert ran.code == 2
    assert f"{own_kidneys}: one problem to mend before training case 'kidneys_001': " in ran.err
    assert not (tmp_path / "work").exists()


def test_another_dataset_in_the_same_workspace(autoseg, finished, tmp_path, contents):
    other = tmp_path / "other"
    for path in [*finished.data.rglob("*.nii.gz"), finished.data / "dataset.json"]:
        target = other / str(path.relative_to(finished.data)).replace("kidneys", "strange")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    before = contents(finished.work)
    for command in ("fingerprint", "plan", "preprocess", "train", "run"):
        ran = autoseg(command, other, "-w", finished.work)
        assert ran.code == 2
        assert f"{finished.work}: this workspace belongs to dataset 'Kidneys', which has no case in common" in ran.err
    assert contents(finished.work) == before


def test_real_data_up_to_the_plan(autoseg, real_data, tmp_path):
    hippocampus = real_data("hippocampus")
    checked = autoseg("check", hippocampus)
    assert checked.code == 0
    assert "200 cases read: 0 errors" in checked.err
    assert autoseg("fingerprint", hippocampus, "-w", tmp_path).code == 0
    ran = autoseg("plan", hippocampus, "-w", tmp_path, "--device", "cpu", "--memory", 8, "--explain")
    assert ran.code == 0
    plan = read_plan(tmp_path / "plans" / "default.json")
    # The patch is that of nnU-Net's published plan. A batch shows at most a twentieth of all voxels,
    # 0.05 × 200 × 36 × 50 × 35 / (40 × 56 × 40) = 7 patches.
    assert plan.stages["3d_fullres"].sampling.patch_size == (40, 56, 40)
    assert plan.stages["3d_fullres"].sampling.batch_size == 7
    assert plan.stages["3d_fullres"].preprocessing.spacing_mm == (1.0, 1.0, 1.0)
    assert plan.stages["2d"].sampling.patch_size == (56, 40)
    assert list(plan.dataset.labels.targets) == ["Anterior", "Posterior"]


@pytest.mark.parametrize(("options", "selects"), [((), True), (("--folds", "0"), False)])
def test_it_ends_with_a_selection(autoseg, finished, own_work, monkeypatch, options, selects):
    """Of all that is trained, unless only some folds are asked for; the time it takes is told before it begins."""
    monkeypatch.setattr("autoseg.workflow.pipeline._prepare", lambda *arguments: None)
    monkeypatch.setattr("autoseg.workflow.pipeline.train", lambda *arguments, **_: None)
    monkeypatch.setattr("autoseg.cli.run.show_model", lambda dataset, folder: None)
    ran = autoseg("run", finished.data, "-w", own_work, "--jobs", 1, *options)
    assert ran.code == 0, ran.err
    assert ("Selected: 3d_fullres, the only candidate (1 cases, fold 0)" in ran.out) == selects
    assert (own_work / "models" / "default" / "selection.json").is_file() == selects
    others = 4 if selects else 0
    assert ("about a minute of training in all" in ran.err) == bool(others)
