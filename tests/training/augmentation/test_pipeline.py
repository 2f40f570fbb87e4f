"""From samples to a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autoseg.plan.augmentation import Brightness, Contrast, Mirror, Noise, Range, Spatial
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
