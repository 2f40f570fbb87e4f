"""Chains of stages: each predicts after the one it builds on, as if run by hand."""

from __future__ import annotations

import logging
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from autoseg.dataset import Case, Image, Labels, Region, read_label_map, write_image
from autoseg.errors import ModelError
from autoseg.geometry import plain_grid
from autoseg.inference.folder import predict_cases
from autoseg.inference.memory import find_way
from autoseg.inference.model import write_model
from autoseg.inference.predictor import Predictor
from autoseg.networks import build_network
from autoseg.plan.postprocessing import KeepLargest, RemoveUncertain
from autoseg.plan.previous import CropAround, Mask, Previous
from autoseg.postprocessing import apply
from autoseg.preprocessing import prepare_image

LABELS = Labels(values={"background": 0, "kidney": 3, "tumour": 7})
SPACING = (1.0, 1.0, 1.0)
SHAPE = (9, 12, 14)


def cascade(make_plan, make_stage, **previous):
    """Stage "net" at 2 mm; stage "second" at 1 mm builds on it."""
    plan = make_plan(patch=(4, 4, 4), labels=LABELS, spacing_mm=(2.0, 2.0, 2.0))
    second = make_stage((8, 8, 8)).model_copy(update={"previous": Previous(stage="net", **previous)})
    return plan.model_copy(update={"stages": {**plan.stages, "second": second}})


@pytest.fixture
def write(tmp_path, describe):
    """Writes folds of a stage, with weights that are drawn, and scaled so that all classes are predicted."""

    def made(plan, stage, folds=(0,), root=tmp_path / "models" / "default"):
        channels = 1 + (2 if plan.stages[stage].previous and plan.stages[stage].previous.as_channels else 0)
        for fold in folds:
            network = build_network(plan.stages[stage].network, channels, 3, seed=10 * len(stage) + fold)
            write_model(root / stage / f"fold_{fold}", describe(plan, fold, stage), network.state_dict())
        return root / stage

    return made


@pytest.fixture
def image():
    noise = np.random.default_rng(1).normal(size=(1, *SHAPE)).astype(np.float32)
    return Image(noise, plain_grid(SHAPE, SPACING))


def second_alone(plan, folder):
    """The second stage's networks as a predictor that nothing precedes."""
    whole = Predictor.load(folder, "cpu")
    return Predictor(whole.model, whole.networks, whole.device)


@pytest.mark.parametrize("folds", [(0,), (0, 1)])
def test_a_chain_is_the_two_stages_run_by_hand(make_plan, make_stage, write, image, folds):
    plan = cascade(make_plan, make_stage)
    first, second = write(plan, "net", folds), write(plan, "second")
    before = Predictor.load(first, "cpu").predict(image).label_map
    assert set(np.unique(before)) == {0, 3, 7}
    array, placement = prepare_image(image, plan.stages["second"].preprocessing)
    seen = np.concatenate((array, before[None] == 3, before[None] == 7)).astype(np.float32)
    expected = second_alone(plan, second).predict_prepared(torch.from_numpy(seen), placement).label_map
    for folder in (second, second / "fold_0"):
        predictor = Predictor.load(folder, "cpu")
        assert [one.model.stage for one in predictor.chain] == ["net", "second"]
        assert len(predictor.previous.networks) == len(folds)
        np.testing.assert_array_equal(predictor.predict(image).label_map, expected)
    assert len(np.unique(expected)) > 1


def test_rules_of_the_first_stage_hold_for_what_the_second_sees(make_plan, make_stage, write, image):
    plan = cascade(make_plan, make_stage)
    rules = (RemoveUncertain(target="kidney", least_probability=0.6, becomes="tumour"), KeepLargest(target="tumour"))
    ruled = plan.stages["net"].model_copy(update={"postprocessing": rules})
    plan = plan.model_copy(update={"stages": {**plan.stages, "net": ruled}})
    first, second = write(plan, "net"), write(plan, "second")
    array, placement = prepare_image(image, ruled.preprocessing)
    said = Predictor.load(first, "cpu").predict_prepared(torch.from_numpy(array), placement, probabilities=True)
    expected = apply(rules, said.label_map, SPACING, LABELS, said.probabilities)
    assert (expected != said.label_map).any()
    np.testing.assert_array_equal(Predictor.load(first, "cpu").predict(image).label_map, expected)
    seen, _ = Predictor.load(second, "cpu").prepare(image)
    np.testing.assert_array_equal(seen[1:], np.stack((expected == 3, expected == 7)))


def test_a_crop_and_a_mask_are_made_by_hand(make_plan, make_stage, write, image):
    previous = {"as_channels": False, "crop": CropAround(margin_mm=1, labels=("tumour",)), "mask": Mask(value=-5)}
    plan = cascade(make_plan, make_stage, **previous)
    first, second = write(plan, "net"), write(plan, "second")
    corner = np.zeros((1, 3, *SHAPE), dtype=np.float32)
    corner[0, 1, 2:5, 3:7, 4:9] = corner[0, 2, 3:5, 4:6, 5:8] = 1
    corner[0, 2] *= 2

    class Known(nn.Module):
        """Gives every window the scores of its place, as the windows come; one window holds all here."""

        def forward(self, images):
            return (torch.from_numpy(corner),)

    whole = Predictor.load(second, "cpu")
    stage = whole.previous.stage.model_copy(
        update={
            "sampling": whole.previous.stage.sampling.model_copy(update={"patch_size": SHAPE}),
            "preprocessing": plan.stages["second"].preprocessing,
        }
    )
    known = plan.model_copy(update={"stages": {**plan.stages, "net": stage}})
    model = whole.previous.model.model_copy(update={"plan": known})
    chain = Predictor(
        whole.model, whole.networks, whole.device, previous=Predictor(model, (Known(),), whole.device, mirror=False)
    )
    array, placement = chain.prepare(image)
    assert placement.crop == ((2, 6), (3, 7), (4, 9))
    inside = np.zeros(SHAPE, dtype=bool)
    inside[2:5, 3:7, 4:9] = True
    expected = np.where(inside, image.array[0], -5)[2:6, 3:7, 4:9]
    np.testing.assert_array_equal(array.numpy(), expected[None].astype(np.float32))
    predicted = chain.predict(image).label_map
    outside = np.ones(SHAPE, dtype=bool)
    outside[2:6, 3:7, 4:9] = False
    assert (predicted[outside] == 0).all()
    assert first.is_dir()


class Nothing(nn.Module):
    """Sees background everywhere."""

    def forward(self, images):
        scores = torch.zeros((len(images), 3, *images.shape[2:]))
        scores[:, 0] = 1
        return (scores,)


def test_where_nothing_is_found_all_of_the_image_is_seen(make_plan, make_stage, write, image, tmp_path, caplog):
    plan = cascade(make_plan, make_stage, as_channels=False, crop=CropAround(margin_mm=0))
    write(plan, "net")
    whole = Predictor.load(write(plan, "second"), "cpu")
    blind = Predictor(whole.previous.model, (Nothing(),), whole.device)
    chain = Predictor(whole.model, whole.networks, whole.device, previous=blind)
    expected = second_alone(plan, tmp_path / "models" / "default" / "second").predict_prepared(
        torch.from_numpy(image.array), prepare_image(image, plan.stages["second"].preprocessing)[1]
    )
    np.testing.assert_array_equal(chain.predict(image).label_map, expected.label_map)
    write_image(tmp_path / "patient_0000.nii.gz", image.array[0], image.grid)
    predict_cases(chain, [Case("patient", (tmp_path / "patient_0000.nii.gz",), None)], tmp_path / "out")
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [
        "warning: net found nothing to crop or mask by; all of it is seen",
        "warning: case 'patient': net found nothing to crop or mask by; all of it is seen",
    ]


def test_a_folder_of_cases_is_predicted_as_one_by_one(make_plan, make_stage, write, image, tmp_path):
    plan = cascade(make_plan, make_stage)
    write(plan, "net", (0, 1))
    predictor = Predictor.load(write(plan, "second"), "cpu")
    told = []
    cases = []
    for number in range(2):
        path = tmp_path / "images" / f"case{number}_0000.nii.gz"
        write_image(path, image.array[0] + number, image.grid)
        cases.append(Case(f"case{number}", (path,), None))

    class Progress:
        def __init__(self, description, total):
            assert total == 2

        def __enter__(self):
            return lambda done, note: told.append((done, note))

        def __exit__(self, *problem):
            return None

    outcome = predict_cases(predictor, cases, tmp_path / "out", progress=Progress)
    assert outcome == (2, 0, [])
    for number, case in enumerate(cases):
        expected = predictor.predict(Image(image.array + number, image.grid)).label_map
        np.testing.assert_array_equal(read_label_map(tmp_path / "out" / f"{case.name}.nii.gz")[0], expected)
        shares = [done for done, note in told if note == case.name]
        assert sum(shares) == pytest.approx(1) and min(shares) >= -1e-9
    # Half of a case is the first stage's: its 3 × 3 × 4 windows of 4³ at half a patch, the second's 1 × 2 × 3 of 8³.
    assert max(done for done, _ in told) <= 0.5 / 6 + 1e-6


def test_the_memory_is_that_of_the_stage_that_takes_most(make_plan, make_stage, write, image, tmp_path, monkeypatch):
    plan = cascade(make_plan, make_stage)
    write(plan, "net")
    predictor = Predictor.load(write(plan, "second"), "cpu")
    asked = []

    def watched(stage, dataset, native, prepared, device, used, limit, several):
        asked.append((stage, tuple(prepared), used))
        return find_way(stage, dataset, native, prepared, device, used, limit, several)

    monkeypatch.setattr("autoseg.inference.way.find_way", watched)
    path = tmp_path / "images" / "case_0000.nii.gz"
    write_image(path, image.array[0], image.grid)
    predict_cases(predictor, [Case("case", (path,), None)], tmp_path / "out")
    (first, low, kept), (second, full, used) = asked
    assert (first, second) == (plan.stages["net"], plan.stages["second"])
    assert (low, full) == ((4, 6, 7), SHAPE)
    assert kept - used == 4 * np.prod(SHAPE)


def test_a_stage_that_is_not_beside_the_one_that_builds_on_it(make_plan, make_stage, write, tmp_path):
    plan = cascade(make_plan, make_stage)
    second = write(plan, "second")
    for folder in (second, second / "fold_0"):
        with pytest.raises(ModelError) as raised:
            Predictor.load(folder, "cpu")
        place = second.parent / "net"
        assert str(raised.value) == (
            f"{second / 'fold_0'}: second builds on what net predicts, and there is no model of it to use in {place}: "
            f"{place}: no such folder. Name a workspace, its models/PLAN, or the folder of a stage or a fold.\n"
            "Keep the folders of both stages side by side, as in …/models/PLAN: copy the whole folder, or train the "
            "stage."
        )
    write(plan, "net")
    elsewhere = shutil.copytree(second.parent, tmp_path / "elsewhere")
    assert Predictor.load(elsewhere / "second" / "fold_0", "cpu").previous is not None


def test_a_stage_for_other_labels(make_plan, make_stage, write):
    plan = cascade(make_plan, make_stage)
    others = plan.dataset.model_copy(update={"labels": Labels(values={"background": 0, "kidney": 3, "cyst": 7})})
    second = write(plan, "second")
    first = write(plan.model_copy(update={"dataset": others}), "net")
    with pytest.raises(ModelError) as raised:
        Predictor.load(second, "cpu")
    assert str(raised.value) == (
        f"{first}: is for channels CT and labels background 0, kidney 3, cyst 7, but {second / 'fold_0'} builds on it "
        "with channels CT and labels background 0, kidney 3, tumour 7. Bring the model that it was trained with."
    )


def test_a_stage_for_the_same_regions_in_another_order(make_plan, make_stage, write):
    parts = {"kidney": Region(values=(3,), paint=3), "tumour": Region(values=(7,), paint=7)}
    regions = {"whole": Region(values=(3, 7), paint=3), **parts}
    plan = make_plan(patch=(4, 4, 4), labels=LABELS.model_copy(update={"regions": regions}))
    stages = {**plan.stages, "second": plan.stages["net"].model_copy(update={"previous": Previous(stage="net")})}
    plan = plan.model_copy(update={"stages": stages})
    turned = LABELS.model_copy(update={"regions": dict(reversed(regions.items()))})
    second = write(plan, "second")
    write(plan.model_copy(update={"dataset": plan.dataset.model_copy(update={"labels": turned})}), "net")
    told = r"regions tumour 7, kidney 3, whole 3\+7, but .* regions whole 3\+7, kidney 3, tumour 7\. Bring the model"
    with pytest.raises(ModelError, match=told):
        Predictor.load(second, "cpu")
