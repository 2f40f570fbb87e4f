"""Every plan that ships, through all of its stages on a small dataset like KiTS19, with smaller networks."""

from __future__ import annotations

import json

import pytest

from autoseg.dataset import generate_kidneys, read_image, read_label_map
from autoseg.plan import read_plan
from autoseg.plan.shipped import shipped_plans

pytestmark = pytest.mark.slow

SHORT = {
    "training.epochs": 1,
    "training.iterations_per_epoch": 1,
    "training.validation_iterations": 1,
    "training.precision": "float32",
    "training.minutes": None,
}
LEVELS = [4, 4, 8, 8, 8, 8]
DENSE = {"kind": "dense_v_net", "blocks": [1, 2, 1, 1], "growth": 4, "decoder_features": [8, 8, 8, 4, 4]}
RESNEXT = {
    "kind": "se_resnext_v_net",
    "blocks": [1, 1, 2, 1],
    "groups": 2,
    "group_width": 4,
    "decoder_features": [8, 8, 8, 4, 4],
}
THREE_D = {
    "network.features": LEVELS,
    "sampling.patch_size": [32, 64, 64],
    "preprocessing.spacing_mm": [6, 3, 3],
    "training.validation_cases": 1,
}
FINE = {"sampling.patch_size": [32, 64, 64], "preprocessing.spacing_mm": [12, 5, 5], "training.validation_cases": 1}
SMALLER = {
    "small_unet_3d": {
        "3d_fullres": {
            "network.features": [4, 4, 8, 8],
            "sampling.patch_size": [16, 32, 32],
            "preprocessing.spacing_mm": [12, 5, 5],
        }
    },
    "residual_unet_3d": {"3d_fullres": THREE_D},
    "plain_unet_3d": {"3d_fullres": THREE_D},
    "preactivation_unet_3d": {"3d_fullres": THREE_D},
    "coarse_to_fine_vnet": {
        "coarse": {
            "network.features": [4, 8, 8, 8, 8],
            "sampling.patch_size": [32, 32, 32],
            "training.validation_cases": 1,
        },
        "fine_densenet": {"network": DENSE, **FINE},
        "fine_se_resnext": {"network": RESNEXT, **FINE},
        "tumour_densenet": {"network": DENSE, **FINE},
        "tumour_se_resnext": {"network": RESNEXT, **FINE},
    },
    "slicewise_unet_2d": {"2d": {"network.features": [4, 4, 4, 4]}},
    "cascade_residual_unet": {
        "roi": {
            "network.features": LEVELS,
            "sampling.patch_size": [32, 64, 64],
            "preprocessing.spacing_mm": [12, 5, 5],
        },
        "full": {
            "network.features": LEVELS,
            "sampling.patch_size": [32, 64, 64],
            "preprocessing.spacing_mm": [12, 5, 5],
        },
    },
    "recursive_unet_2d": {
        "2d": {
            "network.features": LEVELS,
            "sampling.patch_size": [64, 64],
            "preprocessing.spacing_mm": [4, 4],
        }
    },
}


@pytest.fixture(scope="module")
def kits(tmp_path_factory):
    """Four cases in two folds, and one to predict."""
    folder = tmp_path_factory.mktemp("kits") / "kits"
    generate_kidneys(folder, cases=4, test_cases=1, shape=(10, 32, 32), spacing_mm=(12.0, 5.0, 5.0))
    names = [f"kidneys_{number:03d}" for number in range(4)]
    splits = [{"train": names[2:], "val": names[:2]}, {"train": names[:2], "val": names[2:]}]
    (folder / "splits_final.json").write_text(json.dumps(splits))
    return folder


def test_none_is_left_out():
    assert {name: list(stages) for name, stages in SMALLER.items()} == {
        name: list(read_plan(path).stages) for name, path in shipped_plans().items()
    }


@pytest.mark.parametrize("name", SMALLER)
def test_a_plan_from_images_to_label_maps(autoseg, kits, tmp_path, name):
    settings = [
        f"stages.{stage}.{path}={json.dumps(value)}"
        for stage, changes in SMALLER[name].items()
        for path, value in (SHORT | changes).items()
    ]
    work = tmp_path / "work"
    asked = [part for setting in settings for part in ("--set", setting)]
    ran = autoseg(
        "run", kits, "-w", work, "--like", name, "--name", name, "--folds", 0, "--device", "cpu", "--memory", 8,
        "--workers", 0, "--jobs", 1, *asked,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    shipped, used = read_plan(shipped_plans()[name]), read_plan(work / "plans" / f"{name}.json")
    for stage in used.stages:
        for part in ("previous", "loss", "optimizer", "schedule", "stopping", "inference", "postprocessing"):
            ours, theirs = getattr(used.stages[stage], part), getattr(shipped.stages[stage], part)
            assert ours == theirs or name == "small_unet_3d"
        validated = sorted((work / "models" / name / stage / "fold_0" / "validation").glob("*.nii.gz"))
        assert [path.name for path in validated] == ["kidneys_000.nii.gz", "kidneys_001.nii.gz"]
        for path in validated:
            image = read_image(kits / "imagesTr" / path.name.replace(".nii", "_0000.nii"))
            assert read_label_map(path)[1].differs_from(image.grid) is None
    last = list(used.stages)[-1]
    out = tmp_path / "out"
    ran = autoseg("predict", work / "models" / name / last, kits / "imagesTs", "-o", out, "--device", "cpu")
    assert ran.code == 0, ran.err
    label_map, grid = read_label_map(out / "kidneys_004.nii.gz")
    assert grid.differs_from(read_image(kits / "imagesTs" / "kidneys_004_0000.nii.gz").grid) is None
    assert set(label_map.ravel().tolist()) <= {0, 1, 2}
