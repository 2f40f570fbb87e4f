"""A dataset whose images are not here: measured, planned for, explained; not trained on."""

from __future__ import annotations

import shutil

import pytest

from autoseg.fingerprint import read_fingerprint
from autoseg.plan import read_plan

PLANNED = ("--device", "cpu", "--memory", 1, "--preset", "nnunet", "--jobs", 1)
WITHOUT = (
    "5 cases with label maps and not one image (looked for imagesTr/kidneys_000_0000.nii.gz and so on). Such a "
    "dataset can be measured and planned for. To train, add the images and derive the plan again."
)


@pytest.fixture
def label_maps(own_kidneys):
    """The kidneys' label maps, their images put aside."""
    shutil.move(own_kidneys / "imagesTr", own_kidneys.parent / "imagesTr")
    return own_kidneys


def test_check_says_that_images_are_missing_once(autoseg, label_maps):
    ran = autoseg("check", label_maps, "--jobs", 1)
    assert ran.code == 1
    problem, remedy = WITHOUT.split(". ", 1)
    assert ran.out == f"dataset: {problem}\n{remedy}\n"
    assert "5 cases read: 1 error, 0 warnings." in ran.err


def test_the_way_from_label_maps_to_a_plan_and_with_images_to_another(autoseg, label_maps, tmp_path):
    work = tmp_path / "work"
    ran = autoseg("fingerprint", label_maps, "-w", work, "--jobs", 1)
    assert ran.code == 0, ran.err
    assert f"warning: {label_maps}: {WITHOUT}" in ran.err
    assert not read_fingerprint(work / "fingerprint.json").has_images

    ran = autoseg("plan", label_maps, "-w", work, *PLANNED, "--explain")
    assert ran.code == 0, ran.err
    assert "derive the plan again with the images, then train" in " ".join(ran.out.split())
    first = read_plan(work / "plans" / "default.json")
    window = first.stages["2d"].preprocessing.normalisation[0]
    assert (window.lower, window.upper, window.mean, window.std) == (-79, 304, 101, 76.9)

    for command in ("preprocess", "train"):
        ran = autoseg(command, label_maps, "-w", work)
        assert (ran.code, ran.err) == (2, f"autoseg: {label_maps}: {WITHOUT}")
    assert not (work / "prepared").exists()

    shutil.move(label_maps.parent / "imagesTr", label_maps / "imagesTr")
    ran = autoseg("train", label_maps, "-w", work)
    assert ran.code == 2
    assert "plan 'default' was made from label maps alone, so it knows nothing of intensities. Derive it" in ran.err
    ran = autoseg("plan", label_maps, "-w", work, *PLANNED)
    assert ran.code == 0, ran.err
    assert read_fingerprint(work / "fingerprint.json").has_images
    second = read_plan(work / "plans" / "default.json")
    assert second.stages["2d"].preprocessing.normalisation != first.stages["2d"].preprocessing.normalisation
    assert autoseg("preprocess", label_maps, "-w", work, "--stage", "2d", "--jobs", 1).code == 0


def test_run_tells_what_is_missing(autoseg, label_maps, tmp_path):
    ran = autoseg("run", label_maps, "-w", tmp_path / "work", *PLANNED)
    assert ran.code == 2
    assert WITHOUT.split(". ")[0] in ran.err


def test_the_label_maps_of_kits19(autoseg, real_data, tmp_path):
    kits = real_data("kits19_labels")
    ran = autoseg("plan", kits, "-w", tmp_path / "work", "--preset", "nnunet", "--device", "cpu", "--memory", 8)
    assert ran.code == 0, ran.err
    found = read_fingerprint(tmp_path / "work" / "fingerprint.json")
    assert len(found.cases) == 10
    assert found.cases[0].shape == (512, 512, 32)
    assert found.labels["tumour"].share_of_cases == 1.0
    assert "3d_fullres" in read_plan(tmp_path / "work" / "plans" / "default.json").stages
