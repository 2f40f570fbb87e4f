"""Transforms of batchgenerators: what they are given, that they are seeded, and what is said when they fail."""

from __future__ import annotations

import random
from typing import get_args

import numpy as np
import pytest
from batchgenerators.transforms.noise_transforms import MedianFilterTransform
from scipy import ndimage as ndi

from autoseg.errors import TrainingError
from autoseg.plan.augmentation import Batchgenerators
from autoseg.plan.batchgenerators_table import TransformName
from autoseg.training.augmentation import vary_loaded

NEEDED = {
    "brightness": {"mu": 0.5, "sigma": 0.2},
    "brightness_gradient": {"scale": 8},
    "local_contrast": {"scale": [4, 8], "new_contrast": [1.5, 2]},
    "local_gamma": {"scale": 8},
    "local_smoothing": {"scale": 8},
    "median_filter": {"filter_size": 3},
    "clip": {"min": -0.5, "max": 0.5},
    "blank_squares": {"squre_size": 4},
    "blank_rectangles": {
        "rectangle_size": 3,
        "rectangle_value": [0, 1],
        "num_rectangles": 2,
        "p_per_sample": 1,
        "p_per_channel": 1,
    },
    "rotate_90": {"axes": [0, 1], "p_per_sample": 1, "num_rot": [1]},
    "transpose": {"transpose_any_of_these": [0, 1]},
    "mirror": {"axes": [0, 1]},
    "misalign": {"p_sq_per_sample": 1, "p_transl_per_sample": 1, "tr_x": [-2, 2], "tr_y": [-2, 2]},
    "elastic": {"deformation_scale": [0.1, 0.25]},
    "elastic_field": {"alpha": [50, 60], "sigma": [3, 4]},
}


def named(name, **arguments):
    return Batchgenerators(name=name, arguments=NEEDED.get(name, {}) | arguments)


def sample(shape=(12, 12, 12), channels=2, seed=0):
    generator = np.random.default_rng(seed)
    labels = (ndi.gaussian_filter(generator.normal(size=shape), 2) > 0).astype(np.int16)
    return generator.normal(size=(channels, *shape)).astype(np.float32), labels


def vary(transforms, shape=(12, 12, 12), seed=0, **more):
    return vary_loaded(*sample(shape, **more), transforms, np.random.default_rng(seed))


@pytest.mark.parametrize("name", get_args(TransformName))
@pytest.mark.parametrize("shape", [(12, 12, 12), (16, 16)])
def test_every_name_gives_arrays_of_the_same_kind_that_differ(name, shape):
    image, labels = sample(shape)
    for seed in range(10):  # mirroring and transposing may do nothing
        varied, classes = vary([named(name)], shape, seed)
        assert (varied.dtype, varied.shape) == (np.float32, image.shape)
        assert (classes.dtype, classes.shape) == (np.int16, labels.shape)
        assert set(np.unique(classes)) <= {0, 1}
        if not np.array_equal(varied, image):
            return
    pytest.fail(f"{name} changed nothing")


def test_the_arguments_arrive():
    image, labels = sample()
    filtered, same = vary([named("median_filter", filter_size=5)])
    np.testing.assert_allclose(filtered, np.stack([ndi.median_filter(channel, 5) for channel in image]))
    np.testing.assert_array_equal(same, labels)


def test_they_are_applied_one_after_the_other():
    image, _ = sample()
    data = {"data": image[None].copy()}
    for size in (3, 5):
        data = MedianFilterTransform(size)(**data)
    both, _ = vary([named("median_filter"), named("median_filter", filter_size=5)])
    np.testing.assert_array_equal(both, data["data"][0])


def test_image_and_labels_are_deformed_alike():
    """The image is the label map, so it has to stay it, but for what interpolation smooths."""
    _, labels = sample((40, 40))
    image = labels[None].astype(np.float32)
    deformed, classes = vary_loaded(
        image.copy(),
        labels.copy(),
        [named("elastic", deformation_scale=[0.2, 0.2], order_data=1)],
        np.random.default_rng(3),
    )
    assert (classes != labels).mean() > 0.1
    inside = (slice(4, -4),) * 2  # at the border the image goes on, and the labels end
    assert ((deformed[0] > 0.5) == classes)[inside].mean() > 0.97


def test_previous_channels_are_treated_as_labels():
    image, labels = sample((20, 20), channels=1)
    with_previous = np.concatenate((image, labels[None].astype(np.float32)))
    varied, classes = vary_loaded(
        with_previous, labels.copy(), [named("elastic"), named("gaussian_noise")], np.random.default_rng(0), previous=1
    )
    np.testing.assert_array_equal(varied[1], classes)
    assert varied.dtype == np.float32


@pytest.mark.parametrize("name", ["rician_noise", "gaussian_noise", "elastic", "low_resolution"])
def test_the_generator_alone_decides(name):
    """Some of these draw from NumPy's shared numbers, some from Python's."""
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    first, _ = vary([named(name)], seed=5)
    after = (np.random.random(), random.random())  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    random.seed(2)
    second, _ = vary([named(name)], seed=5)
    other, _ = vary([named(name)], seed=6)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    assert after == (np.random.random(), random.random())  # noqa: NPY002, what all share goes on as if nothing was


def test_a_transform_that_fails_is_named():
    with pytest.raises(TrainingError) as refused:
        vary([named("misalign", p_sq_per_sample=1)], channels=1)
    assert str(refused.value) == (
        "augmentation: 'misalign' of batchgenerators with {'p_sq_per_sample': 1, 'p_transl_per_sample': 1, "
        "'tr_x': (-2, 2), 'tr_y': (-2, 2)} failed on a patch of 12 × 12 × 12 voxels (ValueError: only support "
        "multi-modal images). Change its arguments in the plan, or take it out."
    )
    with pytest.raises(TrainingError, match=r"'rotate_90' .* failed on a patch of 8 × 12 voxels \(ValueError: "):
        vary([named("rotate_90")], shape=(8, 12))
