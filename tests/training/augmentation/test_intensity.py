"""Each transform against its definition in float64, written with NumPy and SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage as ndi

from autoseg.plan.augmentation import Blur, Brightness, Contrast, Gamma, LowResolution, Noise, Range
from autoseg.training.augmentation.intensity import (
    add_noise,
    blur,
    change_brightness,
    change_contrast,
    change_gamma,
    lower_resolution,
)

SHAPES = [
    pytest.param((2, 13, 16), id="2-D"),
    pytest.param((2, 9, 12, 11), id="3-D"),
    pytest.param((1, 1, 8, 9), id="one slice"),
]


def image_of(shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(2, 3, shape).astype(np.float32))


def exactly(value):
    return Range(low=value, high=value)


def source(seed=0):
    return np.random.default_rng(seed)


def varied(change, image, transform, generator):
    """A copy of the image, changed."""
    image = image.clone()
    change(image, transform, generator)
    return image


@pytest.mark.parametrize("std", [0.0, 0.1, 2.0])
def test_noise(std):
    image = image_of((2, 40, 40, 40))
    noise = (varied(add_noise, image, Noise(std=exactly(std)), source()) - image).double()
    assert noise.std().item() == pytest.approx(std, rel=0.02, abs=1e-6)
    assert abs(noise.mean().item()) < 0.02 * max(std, 1e-6)
    if std:
        assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.02
        skew, tails = ((noise / std) ** 3).mean().item(), ((noise / std) ** 4).mean().item()
        assert (abs(skew) < 0.05, abs(tails - 3) < 0.1) == (True, True)  # as a Gaussian's


def test_the_deviation_of_noise_is_drawn_uniformly():
    zeros = torch.zeros(1, 12, 12, 12)
    generator = source()
    found = np.array(
        [varied(add_noise, zeros, Noise(std=Range(low=0.1, high=0.3)), generator).std() for _ in range(300)]
    )
    assert 0.095 < found.min() < 0.11
    assert 0.29 < found.max() < 0.315
    assert found.mean() == pytest.approx(0.2, abs=0.01)
    assert found.std() == pytest.approx(0.2 / math.sqrt(12), abs=0.006)


@pytest.mark.parametrize("sigma", [0.3, 0.5, 1.0, 2.2])
@pytest.mark.parametrize("shape", SHAPES)
def test_blur(shape, sigma):
    image = image_of(shape)
    expected = [blurred(channel, [sigma] * channel.ndim) for channel in image.numpy()]
    found = varied(blur, image, Blur(channel_probability=1, sigma=exactly(sigma)), source())
    np.testing.assert_allclose(found.numpy(), np.stack(expected), atol=2e-5)


def blurred(channel, sigmas):
    for axis, sigma in enumerate(sigmas):
        radius = max(1, math.ceil(3 * sigma))
        channel = ndi.gaussian_filter1d(channel.astype(np.float64), sigma, axis, mode="nearest", radius=radius)
    return channel


def test_each_axis_has_a_width_of_its_own():
    """A single bright voxel spreads by the drawn width: its second moments are the kernels'."""
    image = torch.zeros(400, 21, 21, 21)
    image[:, 10, 10, 10] = 1
    found = varied(blur, image, Blur(channel_probability=1, sigma=Range(low=0.5, high=1.0)), source()).double().numpy()
    squares = (np.arange(21) - 10.0) ** 2
    widths = np.sqrt([found.sum(axis=tuple({1, 2, 3} - {axis})) @ squares for axis in (1, 2, 3)])
    # a kernel of voxels, cut off at three widths, is a little narrower than the curve it samples
    assert 0.46 < widths.min() < 0.49
    assert 0.97 < widths.max() < 1.0
    assert widths.mean() == pytest.approx(0.74, abs=0.02)
    assert np.abs(np.corrcoef(widths) - np.eye(3)).max() < 0.15


@pytest.mark.parametrize("factor", [0.75, 1.0, 1.25])
@pytest.mark.parametrize("shape", SHAPES)
def test_brightness(shape, factor):
    image = image_of(shape)
    expected = image.numpy().astype(np.float64) * factor
    brighter = varied(change_brightness, image, Brightness(factor=exactly(factor)), source())
    np.testing.assert_allclose(brighter.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("factor", [0.75, 1.0, 1.25])
@pytest.mark.parametrize("shape", SHAPES)
def test_contrast(shape, factor):
    image = image_of(shape)
    expected = []
    for channel in image.numpy().astype(np.float64):
        stretched = (channel - channel.mean()) * factor + channel.mean()
        expected.append(np.clip(stretched, channel.min(), channel.max()))
    changed = varied(change_contrast, image, Contrast(factor=exactly(factor)), source())
    np.testing.assert_allclose(changed.numpy(), np.stack(expected), atol=1e-5)


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("power", [0.7, 1.0, 1.5])
@pytest.mark.parametrize("shape", SHAPES)
def test_gamma(shape, power, inverted):
    image = image_of(shape)
    sign = -1 if inverted else 1
    expected = []
    for channel in image.numpy().astype(np.float64) * sign:
        raised = ((channel - channel.min()) / np.ptp(channel)) ** power
        raised = (raised - raised.mean()) / raised.std() * channel.std() + channel.mean()
        expected.append(sign * raised)
    before = image.double()
    changed = varied(change_gamma, image, Gamma(power=exactly(power), inverted=inverted), source()).double()
    np.testing.assert_allclose(changed.numpy(), np.stack(expected), atol=2e-5)
    axes = tuple(range(1, image.dim()))
    torch.testing.assert_close(changed.mean(axes), before.mean(axes), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(changed.std(axes), before.std(axes), atol=1e-5, rtol=1e-5)
    assert torch.equal(changed[0].flatten().argsort(), before[0].flatten().argsort())  # darker stays darker


@pytest.mark.parametrize(
    "change",
    [
        lambda image: varied(change_gamma, image, Gamma(power=exactly(1.5)), source()),
        lambda image: varied(change_contrast, image, Contrast(factor=exactly(1.5)), source()),
        lambda image: varied(blur, image, Blur(channel_probability=1, sigma=exactly(1.0)), source()),
        lambda image: varied(
            lower_resolution, image, LowResolution(channel_probability=1, zoom=exactly(0.5)), source()
        ),
    ],
    ids=["gamma", "contrast", "blur", "low resolution"],
)
def test_a_constant_image_stays_as_it_is(change):
    np.testing.assert_allclose(change(torch.full((1, 6, 6, 6), 3.0)).numpy(), 3.0, rtol=1e-6)


def sampled_down_and_up(channel, shape):
    """Nearest voxel down, linear up, one axis after the other; voxel centres at (i + ½) / n."""
    for axis, small in enumerate(shape):
        large = channel.shape[axis]
        nearest = np.floor((np.arange(small) + 0.5) * large / small).astype(int)
        coarse = np.take(channel, nearest, axis)
        at = (np.arange(large) + 0.5) * small / large - 0.5
        channel = np.apply_along_axis(lambda line, at=at, n=small: np.interp(at, np.arange(n), line), axis, coarse)
    return channel


@pytest.mark.parametrize(
    ("shape", "zoom", "in_plane", "small"),
    [
        pytest.param((2, 12, 16), 0.5, False, (6, 8), id="2-D"),
        pytest.param((2, 13, 16), 0.7, False, (9, 11), id="2-D, uneven"),
        pytest.param((1, 8, 12, 10), 0.5, False, (4, 6, 5), id="3-D"),
        pytest.param((1, 7, 12, 10), 0.6, True, (7, 7, 6), id="within slices"),
        pytest.param((1, 12, 16), 0.5, True, (6, 8), id="2-D is within a slice anyway"),
        pytest.param((1, 1, 12, 10), 0.5, False, (1, 6, 5), id="one slice"),
        pytest.param((1, 8, 12, 10), 1.0, False, (8, 12, 10), id="nothing lost"),
    ],
)
def test_low_resolution(shape, zoom, in_plane, small):
    image = image_of(shape)
    expected = np.stack([sampled_down_and_up(channel.astype(np.float64), small) for channel in image.numpy()])
    transform = LowResolution(channel_probability=1, zoom=exactly(zoom), in_plane=in_plane)
    np.testing.assert_allclose(varied(lower_resolution, image, transform, source()).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("limits", "below_one"),
    [
        pytest.param((0.75, 1.25), 0.5, id="about 1"),
        pytest.param((0.7, 1.5), 0.5, id="more room above"),
        pytest.param((1.1, 1.5), 0.0, id="all above"),
        pytest.param((0.5, 0.9), 1.0, id="all below"),
        pytest.param((1.0, 1.0), 0.0, id="1"),
    ],
)
def test_half_of_the_factors_lie_below_one(limits, below_one):
    low, high = limits
    ones = torch.ones(4000, 1, 1)  # a channel is a draw
    factors = (
        varied(change_brightness, ones, Brightness(factor=Range(low=low, high=high)), source())
        .double()
        .flatten()
        .numpy()
    )
    assert low - 1e-6 <= factors.min()
    assert factors.max() <= high + 1e-6
    assert np.mean(factors < 1) == pytest.approx(below_one, abs=0.03)
    for side in (factors[factors < 1], factors[factors > 1]):  # uniform on either side
        if len(side):
            middle = (min(1, high) + low) / 2 if side[0] < 1 else (max(1, low) + high) / 2
            assert side.mean() == pytest.approx(middle, abs=0.02)


@pytest.mark.parametrize("kind", ["blur", "low resolution"])
@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_each_channel_is_drawn_on_its_own(kind, probability):
    image = image_of((600, 8, 8))
    before = image.clone()
    if kind == "blur":
        changed = varied(blur, image, Blur(channel_probability=probability, sigma=exactly(1.0)), source())
    else:
        changed = varied(
            lower_resolution, image, LowResolution(channel_probability=probability, zoom=exactly(0.5)), source()
        )
    touched = (changed != before).flatten(1).any(1).double().mean().item()
    assert touched == pytest.approx(probability, abs=0.08)


def test_channels_get_numbers_of_their_own():
    image = torch.ones(3, 4, 4)
    factors = varied(change_brightness, image, Brightness(), source())[:, 0, 0].tolist()
    assert len(set(factors)) == 3
