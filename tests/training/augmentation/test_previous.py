"""Morphology and components against SciPy, with balls written out; how often, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage as ndi

from autoseg.plan.augmentation import PreviousBinary, PreviousComponents, Range
from autoseg.training.augmentation.previous import change_borders, close, dilate, drop_components, erode, open_


def ball(radius, dimensions):
    reach = np.arange(-int(radius), int(radius) + 1)
    return sum(axis**2 for axis in np.meshgrid(*[reach] * dimensions, indexing="ij")) <= radius**2


def blobs(shape, seed=0, share=0.3):
    smooth = ndi.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return smooth > np.quantile(smooth, 1 - share)


def expected_of(operation, mask, radius):
    """SciPy's, with the patch going on at its border as an eroded label does, and empty as a dilated one does."""
    around = ball(radius, mask.ndim)
    grown = {"iterations": 1, "border_value": 0}
    shrunk = {"iterations": 1, "border_value": 1}
    match operation:
        case "dilate":
            return ndi.binary_dilation(mask, around, **grown)
        case "erode":
            return ndi.binary_erosion(mask, around, **shrunk)
        case "open":
            return ndi.binary_dilation(ndi.binary_erosion(mask, around, **shrunk), around, **grown)
        case "close":
            return ndi.binary_erosion(ndi.binary_dilation(mask, around, **grown), around, **shrunk)


@pytest.mark.parametrize("radius", [0.5, 1.0, 2.5, 4.0, 8.0])
@pytest.mark.parametrize("shape", [(31, 24), (10, 18, 14), (3, 16, 16)])
@pytest.mark.parametrize("operation", [dilate, erode, open_, close])
def test_morphology_with_a_ball(operation, shape, radius):
    mask = blobs(shape)
    found = operation(torch.from_numpy(mask), radius).numpy()
    np.testing.assert_array_equal(found, expected_of(operation.__name__.strip("_"), mask, radius))


def one_hot(shape, labels=2, seed=0):
    """Exclusive labels, each a share of the patch."""
    smooth = ndi.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    classes = np.digitize(smooth, np.quantile(smooth, np.linspace(0, 1, labels + 2)[1:-1]))
    return torch.from_numpy(np.stack([classes == label for label in range(1, labels + 1)]).astype(np.float32))


def sure(**more):
    return PreviousBinary(probability=1, label_probability=1, **more)


def test_each_operation_is_as_likely_and_each_radius():
    mask = blobs((24, 24))
    radii = [1.0, 2.0, 3.0]
    candidates = {
        (operation, radius): expected_of(operation, mask, radius)
        for operation in ("dilate", "erode", "open", "close")
        for radius in radii
    }
    assert len({found.tobytes() for found in candidates.values()}) == len(candidates)
    generator = np.random.default_rng(0)
    counts = dict.fromkeys(candidates, 0)
    for radius in radii:
        for _ in range(400):
            channels = torch.from_numpy(mask[None].astype(np.float32))
            change_borders(channels, sure(radius=Range(low=radius, high=radius)), generator)
            hits = [key for key, one in candidates.items() if np.array_equal(one, channels[0].numpy())]
            assert [key[1] for key in hits] == [radius]
            counts[hits[0]] += 1
    assert all(abs(count - 100) < 35 for count in counts.values())


def test_what_one_label_gains_the_others_lose():
    for seed in range(20):
        channels = one_hot((20, 24), labels=3)
        change_borders(channels, sure(radius=Range(low=1, high=5)), np.random.default_rng(seed))
        assert set(channels.unique().tolist()) <= {0.0, 1.0}
        assert channels.sum(0).max() == 1


@pytest.mark.parametrize("change", [change_borders, drop_components])
def test_labels_are_drawn_on_their_own(change):
    """Labels far from each other, so that none takes from another."""
    touched = np.zeros(2)
    generator = np.random.default_rng(0)
    for _ in range(400):
        channels = torch.zeros(2, 48, 22)
        channels[0, 8:14, 8:13] = channels[1, 34:40, 8:13] = 1
        before = channels.clone()
        if change is change_borders:  # a ball larger than a box empties it
            transform = PreviousBinary(label_probability=0.5, radius=Range(low=3.5, high=3.5))
        else:
            transform = PreviousComponents(label_probability=0.5)
        change(channels, transform, generator)
        touched += (channels != before).flatten(1).any(1).numpy()
    share = 0.5 * (0.75 if change is change_borders else 1)  # closing leaves a box as it is
    assert np.abs(touched / 400 - share).max() < 0.08


def test_one_small_component_is_dropped_and_a_large_one_is_not():
    shape = (20, 20)
    channel = np.zeros(shape, np.float32)
    channel[:10, :10] = 1  # 25 % of the patch
    channel[12:15, 2:6] = channel[15, 6] = 1  # one component, by a corner
    channel[17:19, 15:18] = 1
    parts, count = ndi.label(channel, np.ones((3, 3)))
    assert count == 3
    dropped = set()
    generator = np.random.default_rng(0)
    for _ in range(40):
        channels = torch.from_numpy(channel[None].copy())
        drop_components(channels, PreviousComponents(label_probability=1), generator)
        gone = set(np.unique(parts[channels[0].numpy() != channel]).tolist())
        assert len(gone) == 1
        (part,) = gone
        np.testing.assert_array_equal(channels[0].numpy(), np.where(parts == part, 0, channel))
        dropped |= gone
    assert dropped == {parts[13, 3], parts[18, 16]}


@pytest.mark.parametrize("largest_share", [0.0, 0.01])
def test_nothing_to_drop(largest_share):
    channels = one_hot((10, 12, 8))
    before = channels.clone()
    transform = PreviousComponents(label_probability=1, largest_share=largest_share)
    if largest_share:
        channels = before = torch.zeros(2, 5, 5)
    drop_components(channels, transform, np.random.default_rng(0))
    assert torch.equal(channels, before)
