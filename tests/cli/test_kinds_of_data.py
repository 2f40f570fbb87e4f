"""The whole path on data of other kinds: pictures; several channels with regions and voxels nobody annotated."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.dataset import read_label_map
from autoseg.evaluation import read_scores
from autoseg.plan import read_plan

SHORT = [
    part
    for setting in ("epochs=1", "iterations_per_epoch=2", "validation_iterations=1", "precision=float32")
    for part in ("--set", f"stages.*.training.{setting}")
]
FAST = ("--folds", "0", "--device", "cpu", "--memory", 0.2, "--workers", 0, "--jobs", 1)


def write(path, array, vectors=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=vectors), str(path))


def describe(folder, **fields):
    (folder / "dataset.json").write_text(json.dumps(fields))


@pytest.fixture
def pictures(tmp_path):
    """Six colour pictures of a bright disc, and a new one."""
    folder = tmp_path / "cells"
    y, x = np.mgrid[:40, :36]
    for number in range(7):
        disc = (y - 15 - number) ** 2 + (x - 18) ** 2 < 60
        noise = np.random.default_rng(number).integers(0, 60, (40, 36, 3))
        part = "Tr" if number < 6 else "Ts"
        write(folder / f"images{part}" / f"cell_{number}_0000.png", (noise + 150 * disc[..., None]).astype("u1"), True)
        write(folder / f"labels{part}" / f"cell_{number}.png", disc.astype("u1"))
    colours = {str(channel): colour for channel, colour in enumerate(("red", "green", "blue"))}
    describe(folder, channel_names=colours, labels={"background": 0, "cell": 1}, numTraining=6, file_ending=".png")
    return folder


@pytest.fixture
def regions(tmp_path):
    """Six images of two channels, a core within an oedema, two slices of each not annotated; and a new one."""
    folder = tmp_path / "brains"
    z, y, x = np.mgrid[:12, :20, :18]
    for number in range(7):
        distance = (z - 6) ** 2 + (y - 9) ** 2 + (x - 5 - number) ** 2
        part = "Tr" if number < 6 else "Ts"
        for channel, within in enumerate((25, 9)):
            noise = np.random.default_rng([number, channel]).normal(50, 5, z.shape)
            image = (noise + 60 * (distance < within)).astype(np.float32)
            write(folder / f"images{part}" / f"brain_{number}_{channel:04d}.nii.gz", image)
        labels = np.where(distance < 9, 2, np.where(distance < 25, 1, 0)).astype("u1")
        labels[:2] = 3
        write(folder / f"labels{part}" / f"brain_{number}.nii.gz", labels)
    describe(
        folder,
        channel_names={"0": "T2", "1": "T1"},
        labels={"background": 0, "whole": [1, 2], "core": 2, "ignore": 3},
        regions_class_order=[1, 2],
        numTraining=6,
        file_ending=".nii.gz",
    )
    return folder


def whole_path(autoseg, data, stage, tmp_path):
    """run, predict, evaluate; returns the scores of the new image."""
    work, output = tmp_path / "work", tmp_path / "predictions"
    ran = autoseg("run", data, "-w", work, "--stage", stage, *FAST, *SHORT)
    assert ran.code == 0, ran.err
    assert f"{stage}, fold 0, validation cases" in ran.out
    ran = autoseg("predict", work / "models" / "default" / stage, data, "-o", output)
    assert ran.code == 0, ran.err
    ran = autoseg("evaluate", output, data / "labelsTs", "-o", tmp_path / "scores.json", "--jobs", 1)
    assert ran.code == 0, ran.err
    return read_scores(tmp_path / "scores.json").dice


def test_pictures(autoseg, pictures, tmp_path):
    scores = whole_path(autoseg, pictures, "2d", tmp_path)
    assert list(read_plan(tmp_path / "work" / "plans" / "default.json").stages) == ["2d"]
    assert list(scores["cell_6"]) == ["cell"]
    written = sitk.ReadImage(str(tmp_path / "predictions" / "cell_6.png"))
    assert (written.GetDimension(), written.GetSize()) == (2, (36, 40))


@pytest.mark.parametrize("stage", ["2d", "3d_fullres"])
def test_regions_and_voxels_nobody_annotated(autoseg, regions, tmp_path, stage):
    scores = whole_path(autoseg, regions, stage, tmp_path)
    assert list(scores["brain_6"]) == ["whole", "core", "label 1"]
    label_map, grid = read_label_map(tmp_path / "predictions" / "brain_6.nii.gz")
    assert grid.shape == (12, 20, 18)
    assert set(np.unique(label_map)) <= {0, 1, 2}
