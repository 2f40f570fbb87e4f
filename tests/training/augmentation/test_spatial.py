"""Rotation and scaling against NumPy, against SciPy in float64, and worked out by hand.

A matrix M and a centre c mean: voxel o of the patch, counted from its middle, is read at M·o + c.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage as ndi

from autoseg.plan.augmentation import Range, Spatial
from autoseg.training.augmentation import draw_affine, source_extent
from autoseg.training.augmentation.spatial import sample_affine


def spatial(degrees=(0, 0, 0), scale=1.0, **more):
    """A transform that leaves nothing to chance."""
    return Spatial(
        rotation_probability=1,
        rotation_degrees=[Range(low=angle, high=angle) for angle in degrees],
        scale_probability=1,
        scale=Range(low=scale, high=scale),
        **more,
    )


def matrix_of(transform, dimensions):
    return draw_affine(transform, dimensions, np.random.default_rng(0))


def apply(image, labels, matrix, patch, centre=None):
    centre = (np.array(labels.shape) - 1) / 2 if centre is None else centre
    image, labels = torch.from_numpy(image), torch.from_numpy(labels)
    warped, classes = sample_affine(image, labels, matrix, tuple(centre), patch)
    assert warped.dtype == torch.float32
    assert classes.dtype == torch.int16
    return warped.numpy(), classes.numpy()


def picture(shape, channels=2, classes=4, seed=0):
    generator = np.random.default_rng(seed)
    image = generator.normal(size=(channels, *shape)).astype(np.float32)
    smooth = ndi.gaussian_filter(generator.normal(size=shape), 1.5)
    labels = np.digitize(smooth, np.quantile(smooth, np.linspace(0, 1, classes + 1)[1:-1])).astype(np.int16)
    return image, labels


@pytest.mark.parametrize(
    ("shape", "start", "patch"),
    [
        pytest.param((9, 12), (2, 3), (5, 6), id="2-D"),
        pytest.param((9, 12, 7), (0, 3, 1), (9, 6, 5), id="3-D"),
        pytest.param((1, 12, 7), (0, 3, 1), (1, 6, 5), id="one slice"),
    ],
)
def test_the_identity_cuts(shape, start, patch):
    image, labels = picture(shape)
    centre = np.add(start, np.subtract(patch, 1) / 2)
    warped, classes = apply(image, labels, np.eye(len(shape)), patch, centre)
    box = tuple(slice(first, first + size) for first, size in zip(start, patch, strict=True))
    np.testing.assert_allclose(warped, image[(slice(None), *box)], atol=1e-5)
    np.testing.assert_array_equal(classes, labels[box])


@pytest.mark.parametrize("turns", [1, 2, 3, -1])
@pytest.mark.parametrize(
    ("dimensions", "about", "in_plane", "plane"),
    [
        pytest.param(2, 0, False, (0, 1), id="2-D"),
        pytest.param(3, 0, False, (1, 2), id="about z"),
        pytest.param(3, 1, False, (0, 2), id="about y"),
        pytest.param(3, 2, False, (0, 1), id="about x"),
        pytest.param(3, 0, True, (1, 2), id="in plane"),
    ],
)
def test_quarter_turns(dimensions, about, in_plane, plane, turns):
    angles = [0, 0, 0]
    angles[about] = 90 * turns
    matrix = matrix_of(spatial(angles, in_plane=in_plane), dimensions)
    image, labels = picture((8, 9, 7)[:dimensions])
    expected = np.rot90(labels, -turns, plane)
    warped, classes = apply(image, labels, matrix, expected.shape)
    np.testing.assert_allclose(warped, np.rot90(image, -turns, np.add(plane, 1)), atol=1e-4)
    np.testing.assert_array_equal(classes, expected)


def test_rotations_follow_each_other():
    """About z, then y, then x, as for 3 × 3 matrices written out."""
    a, b, c = np.radians([10, 20, 30])
    z = [[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]
    y = [[np.cos(b), 0, -np.sin(b)], [0, 1, 0], [np.sin(b), 0, np.cos(b)]]
    x = [[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]]
    expected = np.array(z) @ np.array(y) @ np.array(x)
    np.testing.assert_allclose(matrix_of(spatial((10, 20, 30)), 3), expected, atol=1e-12)
    np.testing.assert_allclose(matrix_of(spatial((10, 20, 30), in_plane=True), 3), z, atol=1e-12)
    np.testing.assert_allclose(matrix_of(spatial((10, 20, 30)), 2), np.array(z)[1:, 1:], atol=1e-12)


@pytest.mark.parametrize(
    ("dimensions", "in_plane", "diagonal"),
    [(2, False, [0.5, 0.5]), (3, False, [0.5, 0.5, 0.5]), (3, True, [1.0, 0.5, 0.5])],
)
def test_a_factor_of_two_makes_objects_twice_as_large(dimensions, in_plane, diagonal):
    np.testing.assert_allclose(matrix_of(spatial(scale=2.0, in_plane=in_plane), dimensions), np.diag(diagonal))


def random_cases():
    generator = np.random.default_rng(0)
    for number in range(12):
        dimensions = 2 + number % 2
        angles, scale = generator.uniform(-180, 180, 3), generator.uniform(0.5, 2)
        matrix = matrix_of(spatial(angles, scale, in_plane=number % 3 == 0), dimensions)
        shape = tuple(generator.integers(5, 16, dimensions).tolist())
        centre = generator.uniform(0, np.subtract(shape, 1))  # also near the border: beyond it is 0
        yield pytest.param(matrix, shape, centre, tuple(generator.integers(4, 12, dimensions).tolist()), id=str(number))


@pytest.mark.parametrize(("matrix", "shape", "centre", "patch"), list(random_cases()))
def test_against_scipy(matrix, shape, centre, patch):
    image, labels = picture(shape)
    labels[:2] = -1  # the ignore class is a class like the others
    offset = centre - matrix @ (np.subtract(patch, 1) / 2)

    def read(array):
        return ndi.affine_transform(
            array.astype(np.float64), matrix, offset, patch, order=1, mode="grid-constant", cval=0
        )

    warped, classes = apply(image, labels, matrix, patch, centre)
    np.testing.assert_allclose(warped, np.stack([read(channel) for channel in image]), atol=2e-4)
    values = np.array([0, 1, 2, 3, -1])
    shares = np.stack([read(labels == value) for value in values])
    shares[0] += 1 - shares.sum(0)  # beyond the labels there is background
    expected = values[shares.argmax(0)]
    runner_up, largest = np.sort(shares, axis=0)[-2:]
    clear = largest - runner_up > 1e-4  # else rounding decides
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(classes[clear], expected[clear])


@pytest.fixture(params=["at once", "piece by piece"])
def pieces(request, monkeypatch):
    """A patch is read piece by piece on a CPU, and cells where classes meet in turns."""
    if request.param == "piece by piece":
        monkeypatch.setattr("autoseg.training.augmentation.interpolation.PIECE", 100)
        monkeypatch.setattr("autoseg.training.augmentation.interpolation.MEETINGS", 37)


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize(("in_plane", "degrees"), [(False, (20, -30, 10)), (True, (70, 0, 0))])
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_slices_that_stay_slices_and_others(in_plane, degrees, shift):
    """Within slices each slice is read with one map, if it falls on a slice of the source."""
    shape, patch = (14, 26, 24), (9, 11, 13)
    image, labels = picture(shape, channels=3)
    matrix = matrix_of(spatial(degrees, 0.8, in_plane=in_plane), 3)
    centre = np.array([6 + shift, 12.3, 11.8])
    offset = centre - matrix @ (np.subtract(patch, 1) / 2)
    warped, classes = apply(image, labels, matrix, patch, centre)

    def read(array):
        return ndi.affine_transform(
            array.astype(np.float64), matrix, offset, patch, order=1, mode="grid-constant", cval=0
        )

    np.testing.assert_allclose(warped, np.stack([read(channel) for channel in image]), atol=1e-4)
    shares = np.stack([read(labels == value) for value in range(4)])
    shares[0] += 1 - shares.sum(0)
    runner_up, largest = np.sort(shares, axis=0)[-2:]
    clear = largest - runner_up > 1e-4
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(classes[clear], shares.argmax(0)[clear])


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("dimensions", [2, 3])
def test_channels_of_a_previous_stage_are_read_as_labels_are(dimensions):
    image, labels = picture((18, 20, 16)[:dimensions], channels=2)
    one_hot = np.stack([labels == label for label in (1, 2, 3)]).astype(np.float32)
    matrix = matrix_of(spatial((25, -10, 15), 1.2), dimensions)
    patch = (9, 10, 7)[:dimensions]
    expected, classes = apply(image, labels, matrix, patch)
    whole = torch.from_numpy(np.concatenate((image, one_hot)))
    centre = tuple((np.array(labels.shape) - 1) / 2)
    warped, same = sample_affine(whole, torch.from_numpy(labels), matrix, centre, patch, previous=3)
    np.testing.assert_array_equal(warped[:2], expected)
    np.testing.assert_array_equal(same, classes)
    for number in (1, 2, 3):
        np.testing.assert_array_equal(warped[1 + number], classes == number)


@pytest.mark.parametrize(
    ("row", "winner"),
    [
        ([0, 3], 0),
        ([3, 0], 0),
        ([2, 1], 1),
        ([-1, 1], 1),  # what somebody annotated wins against what nobody did
        ([0, -1], 0),
        ([-1, -1], -1),
        ([2, 2], 2),
    ],
)
def test_halfway_between_two_classes(row, winner):
    labels = np.array([row, row], dtype=np.int16)
    _, classes = apply(np.zeros((1, 2, 2), np.float32), labels, np.eye(2), (1, 1), (0.0, 0.5))
    assert classes.item() == winner


@pytest.mark.parametrize("value", [0, 2, -1])
def test_one_class_everywhere(value):
    labels = np.full((4, 4), value, dtype=np.int16)
    _, classes = apply(np.zeros((1, 4, 4), np.float32), labels, np.eye(2), (8, 4))
    expected = np.zeros((8, 4))
    expected[2:6] = value
    np.testing.assert_array_equal(classes, expected)


@pytest.mark.parametrize(
    ("matrix", "patch", "extent"),
    [
        (np.eye(2), (5, 8), (6, 9)),  # one voxel more than needed, for a centre between two voxels
        (np.diag([0.5, 2.0]), (5, 8), (4, 16)),
        ([[0.0, -1.0], [1.0, 0.0]], (5, 8), (9, 6)),
        (np.array([[1, -1], [1, 1]]) / np.sqrt(2), (5, 5), (8, 8)),  # the diagonal of a square, 5.66
    ],
)
def test_source_extent(matrix, patch, extent):
    assert source_extent(np.array(matrix), patch) == extent


def draws(transform, dimensions=3, count=3000):
    generator = np.random.default_rng(0)
    return [draw_affine(transform, dimensions, generator) for _ in range(count)]


def test_how_often_and_how_far():
    ranges = [Range(low=-30, high=30)] * 3
    found = draws(Spatial(rotation_degrees=ranges, rotation_probability=0.2, scale_probability=0.3))
    rotated = [m is not None and not np.allclose(m, np.diag(np.diag(m))) for m in found]
    scales = np.array([1 / np.cbrt(np.linalg.det(m)) for m in found if m is not None])
    scaled = np.abs(scales - 1) > 1e-9
    assert abs(np.mean([m is None for m in found]) - 0.8 * 0.7) < 0.03
    assert abs(np.mean(rotated) - 0.2) < 0.03
    assert abs(scaled.sum() / len(found) - 0.3) < 0.03
    assert 0.7 <= scales.min() < 0.72
    assert 1.38 < scales.max() <= 1.4


def test_angles_are_drawn_from_the_whole_range():
    turn = Spatial(rotation_degrees=[Range(low=-15, high=15)], rotation_probability=1, scale_probability=0)
    angles = [np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])) for matrix in draws(turn, dimensions=2)]
    assert -15 <= min(angles) < -14.9
    assert 14.9 < max(angles) <= 15


def test_a_changed_range_moves_no_other_draw():
    wide = Spatial(rotation_degrees=[Range(low=-30, high=30)] * 3, rotation_probability=1, scale_probability=1)
    narrow = wide.model_copy(update={"rotation_probability": 0.0})
    for first, second in zip(draws(wide, count=20), draws(narrow, count=20), strict=True):
        np.testing.assert_allclose(np.linalg.det(first), np.linalg.det(second))
