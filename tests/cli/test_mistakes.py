"""A user's mistakes: one message that names the remedy, exit code 2, and nothing written."""

from __future__ import annotations

import shutil

import pytest
import torch

MISTAKES = [
    # a path
    ("check {nowhere}", "{nowhere}: no such folder. Give the folder that holds dataset.json or the KiTS cases."),
    ("check {file}", "{file}: not a folder."),
    ("fingerprint {nowhere} -w {work}", "{nowhere}: no such folder."),
    ("plan {work} -w {work}", "{work}: not a dataset. Looked for dataset.json (nnU-Net, Decathlon)"),
    ("preprocess {nowhere} -w {work}", "{nowhere}: no such folder."),
    ("train {nowhere} -w {work}", "{nowhere}: no such folder."),
    ("run {nowhere} -w {work}", "{nowhere}: no such folder."),
    ("predict {model} {nowhere} -o {new}", "{nowhere}: no such file or folder. Give images, or folders of images."),
    ("predict {model} {file} -o {new}", "{file}: not an image by its name."),
    ("predict {model} {work} -o {new}", "{work}: no image in this folder."),
    ("evaluate {nowhere} {data}/labelsTr", "{nowhere}: no such folder. Give a folder of label maps."),
    ("evaluate {data}/labelsTr {nowhere}", "{nowhere}: no such folder. Give a folder of label maps."),
    ("evaluate {work} {data}", "{work}: no label map among the predictions."),
    ("evaluate {data}/labelsTs {data}", "kidneys_005, kidneys_006 have no reference among the 5 given."),
    ("evaluate {data}/labelsTr {data} -o {new}.txt", "scores are written as JSON. Give a name that ends in .json."),
    # a file where a folder is written to
    ("fingerprint {data} -w {file}", "{file}: a file, and a folder is needed there. Give another folder (-w"),
    ("run {data} -w {file}/work", "{file}: a file, and a folder is needed there."),
    ("predict {model} {data} -o {file}", "{file}: a file, and a folder is needed there. Give another path."),
    ("predict {model} {data} -o {file}/out", "{file}: a file, and a folder is needed there. Give another path."),
    ("plan {data} -w {work} -o {file}/plan.json", "{file}: a file, and a folder is needed there. Give another name."),
    # a workspace
    ("train {data} -w {new}", "{new}: no plan 'default' in this workspace. Derive one with 'autoseg plan DATASET'."),
    ("preprocess {data} -w {new}", "{new}: no plan 'default' in this workspace."),
    ("train {data} -w {work} --plan fast", "no plan 'fast' in this workspace. There is: default (--plan NAME)."),
    # a stage, a fold, a device
    ("preprocess {data} -w {work} --stage 4d", "plan 'default' has no stage '4d'. There is: 2d, 3d_fullres."),
    ("train {data} -w {work} --stage 4d", "plan 'default' has no stage '4d'. There is: 2d, 3d_fullres."),
    ("run {data} -w {work} --stage 4d", "plan 'default' has no stage '4d'. There is: 2d, 3d_fullres."),
    ("run {data} -w {work} --stage 3d_fulres", "plan 'default' has no stage '3d_fulres'. There is: 2d, 3d_fullres."),
    ("run {data} -w {new} --stage 3d_fulres --minutes 1", "no stage '3d_fulres'; did you mean '3d_fullres'?"),
    ("run {data} -w {new} --stage 4d", "no stage '4d'. There is: 2d, 3d_fullres, 3d_lowres, 3d_cascade."),
    ("run {data} -w {new} --like residual_unet_3d --stage 2d", "plan 'residual_unet_3d' has no stage '2d'. There is:"),
    ("train {data} -w {work} --fold 5", "no fold 5: this dataset has folds 0 to 4, and 'all'."),
    ("run {data} -w {work} --folds 1,5", "no fold 5: this dataset has folds 0 to 4, and 'all'."),
    ("train {data} -w {work} --fold 1 --device cuda", "device 'cuda' is not to be had on this machine. There is: cpu"),
    ("train {data} -w {work} --stage 3d_fullres --device cuda:7", "device 'cuda:7' is not to be had on this machine."),
    ("run {data} -w {work} --stage 3d_fullres --folds 0 --device cpu:7", "device 'cpu:7' is not to be had"),
    ("predict {model} {data} -o {new} --device cuda", "device 'cuda' is not to be had on this machine."),
    ("plan {data} -w {work} --device cuda:1 --name gpu", "device 'cuda:1' is not to be had on this machine."),
    (
        "train {data} -w {work} --stage 2d --set stages.2d.sampling.batch_size=99999",
        "--set stages.2d.sampling.batch_size=99999: stage 2d with 4→8 features, batches of 99999 and patches of",
    ),
    (
        "plan {data} -w {work} --device cuda --minutes 5 --name gpu",
        "give a plan that was made there: --timings PLAN.json.",
    ),
    # a plan
    ("plan {data} -w {work} --set nonsense", "--set nonsense: expected PATH=VALUE, as in stages.3d_fullres.training"),
    ("plan {data} -w {work} --set a.b=1", "--set a.b: the plan has no 'a'"),
    (
        "train {data} -w {work} --set stages.2d.sampling.btch_size=3",
        "--set stages.2d.sampling.btch_size: stages.2d.sampling has no 'btch_size'; did you mean 'batch_size'?",
    ),
    ("train {data} -w {work} --set stages.2d.sampling.batch_size=0", "stages.2d.sampling.batch_size: must be"),
    ("run {data} -w {work} --set stages.2d.training.epochs=few", "stages.2d.training.epochs: must be a whole"),
    ("plan {data} -w {work} --memory 2", "models were trained by this plan, and it differs from what is asked for now"),
    ("run {data} -w {work} --like {nowhere}", "{nowhere}: no such file."),
    ("plan {data} -w {new} --like {typo}", "btch_size: no such field; did you mean 'batch_size'?"),
    ("plan {data} -w {new} --like {data}/dataset.json", "dataset.json: not a plan of format 1 (found None)."),
    ("train {data} -w {work}/../typo", "btch_size: no such field; did you mean 'batch_size'?"),
    # a model
    ("predict {nowhere} {data} -o {new}", "{nowhere}: no such folder. Name a workspace, its models/PLAN, or"),
    ("predict {work} {data} -o {new}", "{work}: no model is selected here yet. Run 'autoseg select"),
    ("predict {unfinished} {data} -o {new}", "the training has not finished. Run the same training command again"),
    ("predict {damaged} {data} -o {new}", "weights.safetensors: the weights cannot be read ("),
]


@pytest.fixture(scope="module")
def places(finished, tmp_path_factory):
    """What the mistakes are made with, all below one folder."""
    root = finished.data.parent
    places = {
        "data": finished.data,
        "work": finished.work,
        "model": finished.model,
        "nowhere": root / "nowhere",
        "new": root / "new",
        "file": root / "file.txt",
        "typo": root / "typo" / "plans" / "default.json",
        "unfinished": root / "unfinished",
        "damaged": root / "damaged",
    }
    places["file"].write_text("text")
    places["typo"].parent.mkdir(parents=True)
    places["typo"].write_text((root / "plan.json").read_text().replace('"batch_size"', '"btch_size"'))
    shutil.copytree(finished.model / "fold_0", places["unfinished"])
    (places["unfinished"] / "weights.safetensors").unlink()
    shutil.copytree(finished.model / "fold_0", places["damaged"])
    weights = places["damaged"] / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    return places


@pytest.mark.parametrize(("command", "message"), MISTAKES, ids=[command for command, _ in MISTAKES])
def test_mistakes(autoseg, places, contents, tmp_path, monkeypatch, command, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    root = places["data"].parent
    before = contents(root)
    ran = autoseg(*(word.format(**places) for word in command.split()))
    assert ran.code == 2
    assert message.format(**places) in ran.err
    assert ran.err.count("autoseg:") == 1
    assert contents(root) == before
    assert list(tmp_path.iterdir()) == []


def test_a_new_workspace_keeps_what_was_done_before_the_mistake(autoseg, kidneys, tmp_path):
    """The facts about a dataset are whole and true, whatever was asked of the plan."""
    ran = autoseg("plan", kidneys, "-w", tmp_path / "work", "--set", "stages.2d.nothing=1", "--jobs", 1)
    assert ran.code == 2
    assert [path.name for path in (tmp_path / "work").rglob("*")] == ["fingerprint.json"]
    assert autoseg("fingerprint", kidneys, "-w", tmp_path / "work").code == 0
