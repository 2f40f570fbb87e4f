"""From samples to a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage as ndi

from autoseg.plan.augmentation import (
    Brightness,
    Contrast,
    Copies,
    Mirror,
    Noise,
    PreviousBinary,
    PreviousComponents,
    Range,
    Spatial,
    ZeroOutside,
)
from autoseg.training.augmentation import Sample, make_batch


def sample(shape, channels=1, matrix=None, seed=0):
    labels = np.random.default_rng(seed).integers(0, 300, shape).astype(np.int16)
    image = np.stack([labels.astype(np.float32)] * channels)
    return Sample(image, labels, matrix, tuple((size - 1) / 2 for size in shape))


def sources(count, seed=0):
    return [np.random.default_rng([seed, place]) for place in range(count)]


def batch_of(samples, transforms, cpu, patch=None, seed=0):
    patch = patch or samples[0].labels.shape
    return make_batch(samples, patch, transforms, sources(len(samples), seed), cpu)


@pytest.mark.parametrize("shape", [(6, 5), (4, 6, 5)])
def test_without_transforms_samples_are_stacked(cpu, shape):
    samples = [sample(shape, channels=2, seed=seed) for seed in range(3)]
    batch = batch_of(samples, (), cpu)
    assert (batch.images.shape, batch.images.dtype) == ((3, 2, *shape), torch.float32)
    assert (batch.labels.shape, batch.labels.dtype) == ((3, *shape), torch.int16)
    for place, one in enumerate(samples):
        np.testing.assert_array_equal(batch.images[place], one.image)
        np.testing.assert_array_equal(batch.labels[place], one.labels)


@pytest.mark.parametrize(("shape", "axes"), [((6, 5), (0, 1)), ((4, 6, 5), (0, 1, 2)), ((4, 6, 5), (1,)), ((6, 5), ())])
def test_mirroring_flips_image_and_labels_together(cpu, shape, axes):
    one = sample(shape, channels=2)
    count = 400
    batch = batch_of([one] * count, (Mirror(axes=axes),), cpu)
    for channel in (0, 1):
        assert torch.equal(batch.images[:, channel], batch.labels.float())
    flips = {}
    for choice in np.ndindex((2,) * len(axes)):
        chosen = [axis for axis, flip in zip(axes, choice, strict=True) if flip]
        expected = torch.from_numpy(np.flip(one.labels, chosen).copy())
        flips[choice] = sum(torch.equal(labels, expected) for labels in batch.labels)
    assert sum(flips.values()) == count
    combinations = 2 ** len(axes)
    assert all(abs(times - count / combinations) < 5 * np.sqrt(count / combinations) for times in flips.values())


@pytest.mark.parametrize("probability", [0.0, 0.15, 1.0])
def test_how_often_a_transform_is_applied(cpu, probability):
    twice = Brightness(probability=probability, factor=Range(low=2, high=2))
    batch = batch_of([sample((2, 2)) for _ in range(1000)], (twice,), cpu)
    changed = (batch.images[:, 0] == 2 * batch.labels).flatten(1).all(1)
    unchanged = (batch.images[:, 0] == batch.labels).flatten(1).all(1)
    assert (changed ^ unchanged).all()
    assert changed.double().mean().item() == pytest.approx(probability, abs=0.04)


@pytest.mark.parametrize(("noise_first", "std"), [(True, 10.0), (False, 1.0)])
def test_transforms_are_applied_in_the_order_of_the_plan(cpu, noise_first, std):
    noise = Noise(probability=1, std=Range(low=1, high=1))
    tenfold = Brightness(probability=1, factor=Range(low=10, high=10))
    zeros = Sample(np.zeros((1, 40, 40), np.float32), np.zeros((40, 40), np.int16), None, (19.5, 19.5))
    order = (noise, tenfold) if noise_first else (tenfold, noise)
    assert batch_of([zeros], order, cpu).images.std().item() == pytest.approx(std, rel=0.1)


def test_a_sample_with_a_matrix_is_warped_to_the_patch(cpu):
    """Half a turn; the plan's `Spatial` was drawn by the loader and does nothing here."""
    one = sample((7, 9), matrix=-np.eye(2))
    always = Spatial(rotation_degrees=[Range(low=45, high=45)], rotation_probability=1)
    batch = batch_of([one], (always,), cpu, patch=(5, 5))
    expected = np.rot90(one.labels, 2)[1:6, 2:7]
    np.testing.assert_array_equal(batch.labels[0], expected)
    np.testing.assert_allclose(batch.images[0, 0], expected, rtol=1e-4, atol=1e-2)


def test_the_surroundings_of_an_object_stay_0(cpu):
    """One channel is masked, the other is 0 there, too, but was not normalised inside the mask."""
    inside = np.zeros((20, 24), bool)
    inside[6:15, 5:18] = True
    generator = np.random.default_rng(0)
    image = np.where(inside, generator.normal(size=(2, 20, 24)), 0).astype(np.float32)
    image[0, 10, 10] = 0  # by chance, amid the object
    image[0, 0, 0] = 5e-4  # a ripple that resampling left
    noise = Noise(probability=1, std=Range(low=1, high=1))
    one = Sample(image, inside.astype(np.int16), None, (9.5, 11.5))
    batch = batch_of([one], (noise, Mirror(axes=(0, 1)), ZeroOutside(channels=(0,))), cpu, seed=3)
    labels = batch.labels[0] == 1
    assert not torch.equal(labels, torch.from_numpy(inside))  # mirrored, and the mask with it
    edge = torch.from_numpy(ndi.binary_dilation(labels.numpy()))  # a voxel beside the object is spared
    assert (batch.images[0, 0][~edge] == 0).all()
    assert (batch.images[0, 0][labels] != 0).all()
    assert (batch.images[0, 1] != 0).all()


def test_the_surroundings_are_those_before_other_transforms(cpu):
    """Whatever the place of `ZeroOutside` in the list: what brightness makes 0 is no surroundings."""
    dark = Brightness(probability=1, factor=Range(low=0, high=0))
    noise = Noise(probability=1, std=Range(low=1, high=1))
    one = sample((8, 8))
    batch = batch_of([one], (dark, noise, ZeroOutside(channels=(0,))), cpu)
    assert (batch.images != 0).all()


@pytest.mark.parametrize("previous", [0, 2])
def test_a_previous_stages_channels(cpu, previous):
    """Intensity transforms leave them alone, mirroring and what is theirs do not."""
    labels = np.zeros((16, 20), np.int16)
    labels[3:9, 4:12], labels[10:14, 6:10] = 1, 2
    one_hot = np.stack([labels == 1, labels == 2]).astype(np.float32)
    image = np.concatenate((np.full((1, 16, 20), 2, np.float32), one_hot))

    def images(*transforms):
        return batch_of([Sample(image.copy(), labels.copy(), None, (7.5, 9.5), previous)], transforms, cpu).images[0]

    twice = Brightness(probability=1, factor=Range(low=2, high=2))
    assert (images(twice)[0] == 4).all()
    np.testing.assert_array_equal(images(twice)[1:], one_hot * (1 if previous else 2))
    theirs = (
        PreviousBinary(probability=1, label_probability=1, radius=Range(low=5, high=5)),
        PreviousComponents(probability=1, label_probability=1),
    )
    for transform in theirs:
        changed = images(transform)
        assert (changed[0] == 2).all()
        assert np.array_equal(changed[1:], one_hot) == (previous == 0)
    never = [transform.model_copy(update={"probability": 0.0}) for transform in theirs]
    np.testing.assert_array_equal(images(*never)[1:], one_hot)


def test_a_copy_is_varied_in_its_way_and_the_patch_in_none(cpu):
    def times(factor):
        return Brightness(probability=1, factor=Range(low=factor, high=factor))

    copies = Copies(count=2, ways=((times(2),), (times(3), times(5))))
    samples = [sample((4, 4))._replace(way=way) for way in (None, 1, 0)]
    batch = batch_of(samples, (copies, times(7)), cpu)
    for images, labels, factor in zip(batch.images[:, 0], batch.labels, (7, 7 * 3 * 5, 7 * 2), strict=True):
        np.testing.assert_allclose(images, labels.float() * factor, rtol=1e-6)


def test_the_generators_decide_everything(cpu):
    transforms = (Noise(probability=0.5), Contrast(probability=0.5), Mirror(axes=(0, 1)))
    samples = [sample((6, 6), seed=seed) for seed in range(8)]

    def images(seed):
        torch.rand(5)  # the global random state plays no part
        copies = [one._replace(image=one.image.copy()) for one in samples]
        return batch_of(copies, transforms, cpu, seed=seed).images

    first, again, other = images(0), images(0), images(1)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
