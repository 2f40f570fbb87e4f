from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from autoseg.dataset.images import Image
from autoseg.dataset.labels import Labels
from autoseg.errors import DatasetError
from autoseg.geometry import Grid, plain_grid
from autoseg.plan.preprocessing import CTWindow, NoNormalisation, Preprocessing, ZScore
from autoseg.preprocessing.preparing import prepare_image, prepare_labels

LABELS = Labels(values={"background": 0, "kidney": 10, "tumour": 20}, ignore=255)


def framed_image(spacing_mm=(4.0, 1.0, 2.0), channels=1, seed=0):
    """Random voxels within a border of zeros: 1 and 2 voxels along z, 3 and 0 along y, 0 and 4 along x."""
    array = np.zeros((channels, 11, 15, 18), dtype=np.float32)
    array[:, 1:9, 3:15, 0:14] = np.random.default_rng(seed).uniform(50, 150, size=(channels, 8, 12, 14))
    return Image(array, plain_grid((11, 15, 18), spacing_mm))


def plain(spacing_mm, **changes):
    return Preprocessing(spacing_mm=spacing_mm, normalisation=(NoNormalisation(),), **changes)


def test_the_steps_one_after_the_other():
    image = framed_image()
    array, placement = prepare_image(
        image, Preprocessing(spacing_mm=(1.0, 2.0, 1.0), axis_order=(2, 0, 1), normalisation=(ZScore(),))
    )
    expected = image.array[0, 1:9, 3:15, 0:14].astype(np.float64).transpose(2, 0, 1)
    expected = (expected - expected.mean()) / expected.std()
    # 4 mm against 1 mm: axis 1 of the array is coarse and is interpolated on its own, order 0.
    expected = ndimage.zoom(expected, (1, 2, 1), order=0, mode="nearest", grid_mode=True)
    low, high = expected.min(axis=(0, 2), keepdims=True), expected.max(axis=(0, 2), keepdims=True)
    expected = ndimage.zoom(expected, (2, 1, 1), order=3, mode="nearest", grid_mode=True).clip(low, high)
    assert array.dtype == np.float32
    np.testing.assert_allclose(array[0], expected, rtol=0, atol=1e-5)
    assert placement.grid == image.grid
    assert placement.crop == ((1, 9), (3, 15), (0, 14))
    assert placement.shape == array.shape[1:] == (28, 16, 12)
    assert placement.spacing_mm == (1.0, 2.0, 1.0)


def test_without_crop_the_border_stays():
    array, placement = prepare_image(framed_image(), plain((4.0, 1.0, 2.0), crop_to_nonzero=False))
    np.testing.assert_array_equal(array, framed_image().array)
    assert placement.crop == ((0, 11), (0, 15), (0, 18))


def test_an_image_of_zeros_is_prepared_whole():
    image = Image(np.zeros((1, 4, 5, 6), dtype=np.float32), plain_grid((4, 5, 6), (1.0, 1.0, 1.0)))
    array, _ = prepare_image(image, plain((1.0, 1.0, 1.0)))
    assert array.shape == (1, 4, 5, 6)


@pytest.mark.parametrize(("shape", "spacing_mm"), [((5, 40, 30), (3.0, 0.5, 0.9)), ((3, 12, 50), (9.0, 2.0, 0.4))])
def test_slices_of_any_size_get_one_shape_and_go_back(shape, spacing_mm, restore_labels):
    """Against scipy, slice by slice; on the way back the larger of two scores wins, half a voxel off at most."""
    rng = np.random.default_rng(3)
    image = Image(rng.normal(size=(1, *shape)).astype(np.float32), plain_grid(shape, spacing_mm))
    preprocessing = plain(None, resize_to=(24, 20), crop_to_nonzero=False, image_order=1, coarse_axis_order=1)
    array, placement = prepare_image(image, preprocessing)
    zoom = (24 / shape[1], 20 / shape[2])
    for found, given in zip(array[0], image.array[0].astype(np.float64), strict=True):
        expected = ndimage.zoom(given, zoom, order=1, mode="nearest", grid_mode=True)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert placement.spacing_mm == pytest.approx((spacing_mm[0], spacing_mm[1] / zoom[0], spacing_mm[2] / zoom[1]))
    low, high = shape[1] // 4, shape[2] // 2
    labels = np.zeros(shape, np.uint8)
    labels[1, low:, :high] = 10
    classes = prepare_labels(labels, placement, LABELS)
    assert classes.shape == (3 if shape[0] == 3 else 5, 24, 20) and not classes[[0, 2]].any() and classes[1, 12, 3] == 1
    scores = torch.from_numpy(np.stack([classes == number for number in range(3)]).astype(np.float32))
    back = restore_labels(scores, placement, LABELS)
    assert back.shape == shape
    expected = np.zeros(shape, np.uint8)
    expected[1, low:, :high] = 10
    clear = np.ones(shape, bool)  # of the border, by as much as a voxel of the coarser of the two grids
    rows, columns = int(np.ceil(1 / zoom[0])), int(np.ceil(1 / zoom[1]))
    clear[1, max(0, low - rows) : low + rows] = clear[1, :, max(0, high - columns) : high + columns] = False
    np.testing.assert_array_equal(back[clear], expected[clear])


def test_a_2d_stage_keeps_the_slices():
    array, placement = prepare_image(framed_image(), plain((2.0, 2.0), axis_order=(1, 0, 2)))
    assert array.shape == (1, 12, 16, 14)
    assert placement.spacing_mm == (1.0, 2.0, 2.0)


def test_a_2d_image():
    picture = np.random.default_rng(0).uniform(1, 2, size=(1, 1, 20, 30)).astype(np.float32)
    grid = Grid((1, 20, 30), (1.0, 8.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0), 2)
    array, _ = prepare_image(Image(picture, grid), plain((4.0, 2.0)))
    expected = ndimage.zoom(picture[0, 0].astype(np.float64), (2, 0.5), order=3, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(array[0, 0], expected.clip(picture.min(), picture.max()), rtol=0, atol=1e-5)


def test_normalising_inside_the_mask_uses_the_cropped_mask():
    image = framed_image(channels=2)
    kinds = (ZScore(inside_mask=True), CTWindow(lower=0, upper=100, mean=50, std=10))
    whole, _ = prepare_image(
        image, Preprocessing(spacing_mm=image.grid.spacing_mm, normalisation=kinds, crop_to_nonzero=False)
    )
    cropped, placement = prepare_image(image, Preprocessing(spacing_mm=image.grid.spacing_mm, normalisation=kinds))
    np.testing.assert_allclose(placement.cut(whole), cropped, atol=1e-6)


def test_the_image_stays_as_it_is():
    image = framed_image()
    before = image.array.copy()
    prepare_image(image, Preprocessing(spacing_mm=(1.0, 1.0, 1.0), normalisation=(ZScore(),)))
    np.testing.assert_array_equal(image.array, before)


def test_a_wrong_number_of_channels_is_refused():
    with pytest.raises(DatasetError) as error:
        prepare_image(framed_image(channels=2), plain((1.0, 1.0, 1.0)))
    assert str(error.value) == (
        "the image has 2 channels where the plan expects 1. "
        "Give one file a channel, in the order of the dataset's channels."
    )


def test_labels_follow_their_image():
    _, placement = prepare_image(framed_image(), plain((2.0, 4.0, 1.0), axis_order=(2, 0, 1)))
    label_map = np.random.default_rng(0).choice([0, 10, 20, 255], size=(11, 15, 18)).astype(np.uint8)
    classes = prepare_labels(label_map, placement, LABELS)
    assert classes.dtype == np.int16
    expected = np.select([label_map == 10, label_map == 20, label_map == 255], [1, 2, -1], 0)
    np.testing.assert_array_equal(classes, expected[1:9, 3:15, 0:14].transpose(2, 0, 1))


def test_labels_are_taken_from_the_nearest_slice_along_a_coarse_axis():
    _, placement = prepare_image(framed_image(), plain((1.0, 1.0, 2.0)))
    label_map = np.zeros((11, 15, 18), dtype=np.uint8)
    label_map[4] = 10
    classes = prepare_labels(label_map, placement, LABELS)
    assert classes.shape == (32, 12, 14)
    assert np.flatnonzero(classes.any(axis=(1, 2))).tolist() == [12, 13, 14, 15]  # slice 4 - 1, four times finer


def test_labels_of_the_nearest_voxel_as_a_choice():
    _, placement = prepare_image(framed_image(spacing_mm=(1.0, 1.0, 1.0)), plain((0.4, 0.7, 0.9)))
    label_map = np.random.default_rng(0).choice([0, 10, 20, 255], size=(11, 15, 18)).astype(np.uint8)
    classes = np.select([label_map == 10, label_map == 20, label_map == 255], [1, 2, -1], 0)[1:9, 3:15, 0:14]
    factors = [after / before for before, after in zip(classes.shape, placement.shape, strict=True)]
    expected = ndimage.zoom(classes, factors, order=0, mode="nearest", grid_mode=True)
    np.testing.assert_array_equal(prepare_labels(label_map, placement, LABELS, label_order=0), expected)
    assert (prepare_labels(label_map, placement, LABELS) != expected).any()


def test_an_undeclared_value_is_refused():
    _, placement = prepare_image(framed_image(), plain((1.0, 1.0, 1.0)))
    label_map = np.zeros((11, 15, 18), dtype=np.uint8)
    label_map[5, 5, 5] = 3
    with pytest.raises(DatasetError, match="the label map holds value 3, which the dataset does not declare"):
        prepare_labels(label_map, placement, LABELS)
