"""The hand-set plans that come with autoseg are valid, and listed where people look."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from autoseg.errors import PlanError
from autoseg.networks import build_network, count_parameters
from autoseg.networks.fake import input_channels
from autoseg.plan import read_plan
from autoseg.plan.postprocessing import KeepLargest, RemoveUncertain
from autoseg.plan.shipped import find_plan, shipped_plans
from autoseg.plan.text import as_text

PLANS = Path(__file__).resolve().parents[2] / "plans"
FILES = sorted(PLANS.glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_plan(path):
    plan = read_plan(path)
    assert plan.name == path.stem
    assert path.read_text() == as_text(json.loads(path.read_text())) + "\n"
    assert f"`{path.name}`" in (PLANS / "README.md").read_text()
    for stage in plan.stages.values():
        outputs, inputs = plan.dataset.labels.outputs, input_channels(stage, plan.dataset)
        with torch.device("meta"):
            network = build_network(stage.network, inputs, outputs).eval()
            logits = network(torch.zeros(1, inputs, *stage.sampling.patch_size))
        assert logits[0].shape == (1, outputs, *stage.sampling.patch_size)
    assert plan.notes and len(plan.notes[0]) < 250


def test_the_package_has_them():
    assert list(shipped_plans()) == [path.stem for path in FILES] and len(FILES) == 8
    assert find_plan("residual_unet_3d").samefile(PLANS / "residual_unet_3d.json")


def test_a_name_that_no_plan_has(tmp_path):
    assert find_plan(tmp_path / "mine") == tmp_path / "mine"
    with pytest.raises(
        PlanError, match="'resnet' is neither a file nor a plan that ships with autoseg; these do: casc"
    ):
        find_plan("resnet")


def test_the_published_number_of_parameters():
    """Chen and Jin, table 1: 12 M."""
    plan = read_plan(find_plan("recursive_unet_2d"))
    with torch.device("meta"):
        assert round(count_parameters(build_network(plan.stages["2d"].network, 1, 3)) / 1e6) == 12


def test_distinctive_values_of_the_papers():
    stage = read_plan(find_plan("residual_unet_3d")).stages["3d_fullres"]
    assert stage.sampling.patch_size == (80, 160, 160) and stage.network.features == (24, 48, 96, 192, 320, 320)
    assert stage.sampling.grid.likelier == {"tumour": 4} and stage.inference.gaussian_sigma is None
    assert stage.training.validation_cases == 10 and stage.inference.return_order == 0
    stages = read_plan(find_plan("coarse_to_fine_vnet")).stages
    assert (
        stages["coarse"].preprocessing.spacing_mm == (3.4, 3.4, 3.4) and stages["coarse"].network.divisor == (16,) * 3
    )
    assert {stages[name].previous.stage for name in ("fine_densenet", "fine_se_resnext")} == {"coarse"}
    for name in ("tumour_densenet", "tumour_se_resnext"):
        assert stages[name].previous.mask.value == -1024
        views = {view.orientation(3) for view in stages[name].inference.views}
        assert len(views) == len(stages[name].inference.views) == 12
        candidates = RemoveUncertain(target="tumour", least_probability=0.8, becomes="kidney")
        assert stages[name].postprocessing == (candidates,)
    assert stages["fine_se_resnext"].postprocessing == (KeepLargest(count=2),)
    assert read_plan(find_plan("slicewise_unet_2d")).stages["2d"].preprocessing.resize_to == (244, 244)
    sampling = read_plan(find_plan("recursive_unet_2d")).stages["2d"].sampling
    assert round(sampling.batch_size * sampling.foreground_fraction, 9) == 5
