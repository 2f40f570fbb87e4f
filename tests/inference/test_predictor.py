from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
import torch
from torch import nn

from autoseg.dataset import Image, Labels, Region
from autoseg.errors import AutosegError, ModelError
from autoseg.geometry import Grid, plain_grid
from autoseg.inference.loading import model_folders
from autoseg.inference.model import WEIGHTS, read_weights
from autoseg.inference.predictor import Predictor
from autoseg.inference.sliding_window import predict_rows
from autoseg.plan import Budget

SPACING = (3.0, 1.5, 1.5)
# A grid that is neither at the origin nor straight.
OBLIQUE = Grid((5, 9, 7), SPACING, (-12.5, 40.0, 7.25), (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0))


def voxels(shape=(5, 9, 7), channels=1, seed=0):
    return np.random.default_rng(seed).normal(size=(channels, *shape)).astype(np.float32)


def test_labels_and_grid_are_the_images_own(make_predictor):
    predictor = make_predictor(patch=(4, 4, 4), spacing_mm=SPACING)
    prediction = predictor.predict(Image(voxels(), OBLIQUE))
    np.testing.assert_array_equal(prediction.label_map, np.where(voxels()[0] > 0, 7, 0))
    assert prediction.label_map.dtype == np.uint8
    assert prediction.grid == OBLIQUE
    assert prediction.probabilities is None


def test_probabilities_of_classes(make_predictor):
    predictor = make_predictor(patch=(4, 4, 4), spacing_mm=SPACING)
    prediction = predictor.predict(Image(voxels(), OBLIQUE), probabilities=True)
    foreground = 1 / (1 + np.exp(-voxels()[0].astype(np.float64)))
    assert prediction.probabilities.dtype == np.float32
    np.testing.assert_allclose(prediction.probabilities, [1 - foreground, foreground], rtol=0, atol=1e-5)


def test_probabilities_of_regions(make_predictor):
    class Regions(nn.Module):
        def forward(self, images):
            return (torch.cat((images, images - 1), dim=1),)

    labels = Labels(
        values={"background": 0, "oedema": 1, "core": 2},
        regions={"whole": Region(values=(1, 2), paint=1), "core": Region(values=(2,), paint=2)},
    )
    predictor = make_predictor([Regions()], patch=(4, 4, 4), spacing_mm=SPACING, labels=labels)
    prediction = predictor.predict(Image(voxels(), OBLIQUE), probabilities=True)
    x = voxels().astype(np.float64)[0]
    np.testing.assert_array_equal(prediction.label_map, np.select([x > 1, x > 0], [2, 1], 0))
    np.testing.assert_allclose(prediction.probabilities, 1 / (1 + np.exp(-np.stack([x, x - 1]))), rtol=0, atol=1e-5)


def test_an_image_of_another_spacing_is_predicted_at_the_plans(make_predictor):
    """A ramp along x stays a ramp whatever it is resampled to: its middle is its middle."""
    ramp = np.broadcast_to(np.arange(-10, 10, dtype=np.float32) + 0.5, (1, 6, 8, 20))
    predictor = make_predictor(patch=(4, 4, 4), spacing_mm=(1.0, 1.0, 2.0))
    prediction = predictor.predict(ramp, (1.0, 1.0, 1.0))
    np.testing.assert_array_equal(prediction.label_map, np.where(ramp[0] > 0, 7, 0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
@pytest.mark.parametrize("channels", [1, 2])
def test_an_array_with_its_spacing_is_an_image(make_predictor, dtype, channels):
    names = tuple(f"T{number}" for number in range(channels))
    predictor = make_predictor(patch=(4, 4, 4), channels=names, spacing_mm=(2.0, 1.0, 1.0))
    array = (10 * voxels(channels=channels)).astype(dtype)
    as_image = predictor.predict(Image(array.astype(np.float32), plain_grid((5, 9, 7), SPACING)), probabilities=True)
    as_array = predictor.predict(array, SPACING, probabilities=True)
    assert as_array.grid == as_image.grid
    np.testing.assert_array_equal(as_array.label_map, as_image.label_map)
    np.testing.assert_array_equal(as_array.probabilities, as_image.probabilities)
    if channels == 1:
        np.testing.assert_array_equal(predictor.predict(array[0], SPACING).label_map, as_image.label_map)


@pytest.mark.parametrize("wanted", [None, "RAS", "LPS"])
def test_a_bare_array_lies_as_the_plan_wants_it(make_predictor, wanted):
    """The network sees a kidney in the upper left corner of what it is shown, whatever that holds."""

    class Corner(nn.Module):
        def forward(self, images):
            scores = torch.zeros((len(images), 2, *images.shape[2:]))
            scores[:, 1, :, :2, :2] = 1
            return (scores,)

    predictor = make_predictor([Corner()], mirror=False, patch=(4, 4, 4), orientation=wanted)
    array, corner = voxels((4, 4, 4)), np.zeros((4, 4, 4))
    corner[:, :2, :2] = 7
    prediction = predictor.predict(array, (1.0, 1.0, 1.0))
    np.testing.assert_array_equal(prediction.label_map, corner)
    right_front = plain_grid((4, 4, 4), (1.0, 1.0, 1.0))._replace(direction=(-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))
    from_file = predictor.predict(Image(array, right_front)).label_map
    np.testing.assert_array_equal(from_file, np.flip(corner, (1, 2)) if wanted == "LPS" else corner)


@pytest.mark.parametrize(
    ("array", "spacing_mm", "found"),
    [
        (np.zeros((4, 4, 4)), None, "an array of shape (4, 4, 4) with spacing None"),
        (np.zeros((4, 4)), (1.0, 1.0), "an array of shape (4, 4) with spacing (1.0, 1.0)"),
        (np.zeros((4, 4, 4)), (1.0, 1.0), "an array of shape (4, 4, 4) with spacing (1.0, 1.0)"),
        (np.zeros((1, 1, 4, 4, 4)), (1, 1, 1), "an array of shape (1, 1, 4, 4, 4) with spacing (1, 1, 1)"),
        (np.zeros((4, 4, 4)), (1.0, 0.0, 1.0), "an array of shape (4, 4, 4) with spacing (1.0, 0.0, 1.0)"),
        (np.zeros((4, 0, 4)), (1.0, 1.0, 1.0), "an array of shape (4, 0, 4) with spacing (1.0, 1.0, 1.0)"),
    ],
)
def test_arrays_that_are_no_image(make_predictor, array, spacing_mm, found):
    expected = f"{found}: expected (z, y, x) or (channels, z, y, x) voxels and spacing_mm=(z, y, x)."
    with pytest.raises(ModelError, match=f"^{re.escape(expected)}$"):
        make_predictor().predict(array, spacing_mm)


def test_a_wrong_number_of_channels(make_predictor):
    predictor = make_predictor(channels=("T1", "FLAIR"))
    with pytest.raises(ModelError) as raised:
        predictor.predict(voxels(channels=3), SPACING)
    assert str(raised.value) == (
        "the image has 3 channels; the model was trained on 2 (T1, FLAIR). "
        "Give one file a channel (T1: NAME_0000, FLAIR: NAME_0001), or one file that holds them all."
    )


def test_logits_that_are_not_finite(make_predictor):
    array = voxels()
    array[0, 2, 2, 2] = np.nan
    with pytest.raises(ModelError, match=r"^the network returned NaN or infinity\. Look for NaN or extreme values in"):
        make_predictor(patch=(4, 4, 4)).predict(array, SPACING)


def test_mirroring_can_be_left_out(make_predictor):
    for mirror, views in ((True, 4), (False, 1)):
        predictor = make_predictor(mirror=mirror, mirror_axes=(1, 2))
        predictor.predict(voxels((8, 8, 8)), (1.0, 1.0, 1.0))
        assert predictor.networks[0].calls == views


def test_progress_is_told(make_predictor):
    told = []
    make_predictor(patch=(4, 4, 4)).predict(voxels(), (1, 1, 1), step=lambda done, note: told.append(done))
    assert sum(told) == pytest.approx(1)


# From here on the models lie on disk.


def test_a_fold_is_loaded_ready_to_predict(tmp_path, make_model):
    folder = make_model(tmp_path / "fold_0", seed=3)
    predictor = Predictor.load(str(folder), device="cpu", mirror=False)
    [network] = predictor.networks
    assert not network.training
    assert not predictor.mirror
    assert predictor.device == torch.device("cpu")
    weights = read_weights(folder)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())


def test_folds_are_averaged(tmp_path, make_model):
    for fold in range(3):
        make_model(tmp_path / f"fold_{fold}", fold, seed=fold)
    array = voxels((6, 10, 9))
    together = Predictor.load(tmp_path, "cpu").predict(array, (1.0, 1.0, 1.0), probabilities=True)
    alone = [Predictor.load(tmp_path / f"fold_{fold}", "cpu") for fold in range(3)]
    image = torch.from_numpy(array)
    labels = alone[0].model.plan.dataset.labels
    logits = [
        torch.cat([rows.double() for rows in predict_rows(one.networks, image, one.stage, labels, one.device)], dim=1)
        for one in alone
    ]
    mean = torch.stack(logits).mean(0)
    expected = torch.softmax(mean, 0).numpy()
    np.testing.assert_allclose(together.probabilities, expected, rtol=0, atol=1e-5)
    assert np.abs(expected - torch.softmax(logits[0], 0).numpy()).max() > 0.01


def test_folds_are_found_in_the_order_of_their_numbers(tmp_path, make_model):
    for fold in (*range(11), "all"):
        make_model(tmp_path / f"fold_{fold}", fold, seed=0 if fold == "all" else fold)
    (tmp_path / "fold_11").mkdir()  # not trained
    names = [folder.name for folder in model_folders(tmp_path)]
    assert names == [*(f"fold_{fold}" for fold in range(11)), "fold_all"]
    assert len(Predictor.load(tmp_path, "cpu").networks) == 12
    assert model_folders(tmp_path / "fold_3") == [tmp_path / "fold_3"]


def test_folders_without_a_model(tmp_path, unfinished):
    with pytest.raises(ModelError, match="nowhere: no such folder"):
        Predictor.load(tmp_path / "nowhere", "cpu")
    with pytest.raises(ModelError, match="the training has not finished"):
        Predictor.load(unfinished, "cpu")
    with pytest.raises(ModelError, match=r"unfinished: no model here \(weights.safetensors is missing\)"):
        Predictor.load(unfinished.parent, "cpu")


def test_folds_of_different_plans(tmp_path, make_model, make_plan):
    make_model(tmp_path / "fold_0")
    make_model(tmp_path / "fold_1", fold=1, of=make_plan(overlap=0.25))
    with pytest.raises(ModelError, match="the folds were trained by different plans. Train them again, or name one"):
        Predictor.load(tmp_path, "cpu")


def test_what_the_folds_of_an_ensemble_may_differ_in(tmp_path, make_model, make_plan):
    """Another stage of the plan, its budget, its name: nothing of it reaches this stage's networks."""
    plan = make_plan()
    other = plan.model_copy(
        update={
            "name": "later",
            "budget": Budget(minutes=3),
            "stages": {**plan.stages, "2d": make_plan((4, 4)).stages["net"]},
            "dataset": plan.dataset.model_copy(update={"name": "renamed"}),
        }
    )
    make_model(tmp_path / "fold_0", of=plan)
    make_model(tmp_path / "fold_1", fold=1, of=other)
    assert len(Predictor.load(tmp_path, "cpu").networks) == 2


def test_folds_trained_for_different_times_are_averaged(tmp_path, make_model, make_plan):
    plan = make_plan()
    training = plan.stages["net"].training.model_copy(update={"minutes": 3.0, "epochs": 7})
    longer = plan.model_copy(update={"stages": {"net": plan.stages["net"].model_copy(update={"training": training})}})
    make_model(tmp_path / "fold_0", of=plan)
    make_model(tmp_path / "fold_1", fold=1, of=longer)
    assert len(Predictor.load(tmp_path, "cpu").networks) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"channels": ("MR",)},
        {"labels": Labels(values={"background": 0, "kidney": 8})},
        {"labels": Labels(values={"background": 0, "liver": 7})},
    ],
)
def test_folds_of_different_datasets(tmp_path, make_model, make_plan, other):
    make_model(tmp_path / "fold_0")
    make_model(tmp_path / "fold_1", fold=1, of=make_plan(**other))
    with pytest.raises(ModelError, match="the folds were trained by different plans. Train them again, or name one"):
        Predictor.load(tmp_path, "cpu")


def test_regions_in_another_order(tmp_path, make_model, make_plan):
    """They are the networks' outputs in their order: averaged, one would be taken for the other."""
    regions = {"whole": Region(values=(1, 2), paint=1), "core": Region(values=(2,), paint=2)}
    for fold, order in enumerate((("whole", "core"), ("core", "whole"))):
        labels = Labels(
            values={"background": 0, "oedema": 1, "core": 2}, regions={name: regions[name] for name in order}
        )
        make_model(tmp_path / f"fold_{fold}", fold, of=make_plan(labels=labels))
    with pytest.raises(ModelError, match="the folds were trained by different plans"):
        Predictor.load(tmp_path, "cpu")


def test_labels_in_another_order(tmp_path, make_model, make_plan):
    """It decides nothing."""
    values = {"background": 0, "oedema": 1, "core": 2}
    for fold, named in enumerate((values, dict(reversed(values.items())))):
        make_model(tmp_path / f"fold_{fold}", fold, of=make_plan(labels=Labels(values=named)))
    assert len(Predictor.load(tmp_path, "cpu").networks) == 2


def test_folds_of_different_stages(tmp_path, make_model, make_plan):
    plan = make_plan()
    plan = plan.model_copy(update={"stages": {**plan.stages, "twin": plan.stages["net"]}})
    make_model(tmp_path / "fold_0", of=plan)
    make_model(tmp_path / "fold_1", fold=1, of=plan, stage="twin")
    with pytest.raises(ModelError) as raised:
        Predictor.load(tmp_path, "cpu")
    assert str(raised.value) == f"{tmp_path}: the folds belong to different stages (net, twin). Name one fold."


def test_the_folds_that_are_averaged_are_said(tmp_path, make_model, caplog):
    for fold in (1, 0, "all"):
        make_model(tmp_path / f"fold_{fold}", fold)
    with caplog.at_level("INFO", "autoseg"):
        Predictor.load(tmp_path / "fold_0", "cpu")
        assert not caplog.messages
        Predictor.load(tmp_path, "cpu")
    assert caplog.messages == [f"{tmp_path}: averaging folds 0, 1, all"]


def test_a_gpu_that_is_too_small(make_predictor):
    class TooLarge(nn.Module):
        def forward(self, images):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    predictor = make_predictor([TooLarge()], patch=(4, 4, 4), spacing_mm=(1.0, 1.0, 1.0))
    with pytest.raises(ModelError) as raised:
        predictor.predict(voxels((5, 8, 6)), (2.0, 1.0, 1.0))
    assert str(raised.value) == (
        "the GPU's memory ran out in a single window of 4 × 4 × 4 voxels. Predict on the processor (--device cpu), or "
        "end what else uses the GPU."
    )


def test_weights_of_another_network(tmp_path, make_model, make_plan):
    folder = make_model(tmp_path / "fold_0")
    other = make_model(tmp_path / "other", of=make_plan(channels=("T1", "T2")))
    (folder / WEIGHTS).write_bytes((other / WEIGHTS).read_bytes())
    with pytest.raises(ModelError) as raised:
        Predictor.load(folder, "cpu")
    assert str(raised.value).startswith(f"{folder}: the weights do not fit the network of the plan in model.json (")
    assert "size mismatch for encoder.0.0.0.weight" in str(raised.value)
    assert str(raised.value).endswith("One of the two files is from another training.")


def test_damaged_weights(tmp_path, make_model):
    path = make_model(tmp_path / "fold_0") / WEIGHTS
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match="weights.safetensors: the weights cannot be read"):
        Predictor.load(tmp_path, "cpu")


def test_a_device_that_is_not_there(tmp_path, make_model, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(AutosegError, match="device 'cuda' is not to be had on this machine"):
        Predictor.load(make_model(tmp_path), "cuda")


def test_nothing_is_unpickled(tmp_path, make_model, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("something was unpickled")

    make_model(tmp_path / "fold_0")
    for module, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")):
        monkeypatch.setattr(module, name, refuse)
    predictor = Predictor.load(tmp_path, "cpu")
    assert predictor.predict(voxels(), SPACING).label_map.shape == (5, 9, 7)
