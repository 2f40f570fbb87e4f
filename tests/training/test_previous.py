"""Training patches of a stage that sees what another predicted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

from autoseg.dataset import Description, Labels, write_label_map
from autoseg.dataset.images import read_grid
from autoseg.networks.fake import input_channels, previous_channels
from autoseg.plan.previous import CropAround, Previous
from autoseg.preprocessing import prepare_dataset
from autoseg.preprocessing.previous_maps import Refining
from autoseg.training.augmentation import make_batch
from autoseg.training.job import Job
from autoseg.training.patch_source import TRAINING, VALIDATION, PatchSource

SHAPE = (10, 20, 24)


@pytest.fixture
def numbered(case_in_memory):
    """A case whose pixels are numbered from 1 on; of prediction and truth, voxel n is of class n modulo 3."""

    @dataclass(frozen=True)
    class Predicted(case_in_memory):
        def previous(self):
            return self.classes[None].copy()

    pixels = np.arange(1, 1 + np.prod(SHAPE), dtype=np.float32).reshape(1, *SHAPE)
    return Predicted("numbered", pixels, (pixels[0] % 3).astype(np.int16))


@pytest.mark.parametrize("patch", [(8, 12, 12), (16, 32, 32), (12, 12), (32, 32)])
@pytest.mark.parametrize("stream", [TRAINING, VALIDATION])
def test_the_prediction_follows_the_image_one_hot(numbered, make_stage, patch, stream):
    """Beyond the image, where pixels are 0, there is background."""
    stage = make_stage(len(patch), sampling={"patch_size": patch}, augmentation=[])
    for sample in PatchSource([numbered], stage, stream, previous=2).batch(3):
        pixels, *channels = sample.image
        assert sample.previous == 2
        assert pixels.shape == patch and (pixels > 0).any()
        for number, channel in enumerate(channels, start=1):
            np.testing.assert_array_equal(channel, (pixels % 3 == number) & (pixels > 0))


def test_after_augmentation_it_is_one_hot_still_and_lies_as_labels_do(numbered, make_stage, cpu):
    """A prediction that is the truth remains the truth, however the patch is turned and mirrored."""
    stage = make_stage()
    blocks = np.kron(np.random.default_rng(0).integers(3, size=(5, 5, 6)), np.ones((2, 4, 4), int)).astype(np.int16)
    source = PatchSource([replace(numbered, classes=blocks)], stage, TRAINING, previous=2)
    turned = 0
    for iteration in range(8):
        samples = source.batch(iteration)
        turned += sum(sample.matrix is not None for sample in samples)
        patch, generators = stage.sampling.patch_size, source.generators(iteration)
        images, labels = make_batch(samples, patch, stage.augmentation, generators, cpu)
        for number in (1, 2):
            np.testing.assert_array_equal(images[:, number].numpy(), labels.numpy() == number)
    assert turned > 3


def test_transforms_of_batchgenerators_leave_it_one_hot(numbered, make_stage):
    loaded = {"kind": "batchgenerators", "name": "gaussian_noise", "arguments": {"p_per_sample": 1.0}}
    plain, varied = (
        PatchSource([numbered], make_stage(augmentation=augmentation), TRAINING, previous=2).batch(0)
        for augmentation in ([], [loaded])
    )
    for before, after in zip(plain, varied, strict=True):
        assert not np.array_equal(after.image[0], before.image[0])
        np.testing.assert_array_equal(after.image[1:], before.image[1:])


@pytest.mark.parametrize(("previous", "channels"), [(None, 2), (Previous(stage="first"), 5)])
def test_channels_are_counted(previous, channels):
    labels = Labels(values={"background": 0, "a": 1, "b": 2, "c": 3})
    dataset, stage = Description(name="x", channels=("T1", "T2"), labels=labels), SimpleNamespace(previous=previous)
    assert (input_channels(stage, dataset), previous_channels(stage, dataset)) == (channels, channels - 2)


@pytest.mark.parametrize("previous", [{}, {"as_channels": False, "crop": CropAround()}])
def test_changed_predictions_make_another_training(dataset, make_stage, make_plan, cpu, tmp_path, previous):
    stage = make_stage()
    paths = {case.name: tmp_path / "predicted" / f"{case.name}.nii.gz" for case in dataset.cases}

    def identity(predicted_class):
        for case in dataset.cases:
            grid = read_grid(case.images[0])
            write_label_map(paths[case.name], np.full(grid.shape, predicted_class, dtype=np.uint8), grid)
        refining = Refining(Previous(stage="first", **previous), paths, tmp_path / "prepared" / "previous")
        cases = prepare_dataset(dataset, stage.preprocessing, (8, 8, 8), tmp_path / "prepared", 1, refining=refining)
        return Job(make_plan(stage), "tiny", 0, cases[:2], cases[2:], tmp_path / "fold_0", cpu).identity

    first = identity(1)
    assert identity(1) == first
    assert identity(2) != first
