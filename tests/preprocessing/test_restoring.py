from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from autoseg.dataset.images import Image
from autoseg.dataset.labels import Labels, Region
from autoseg.geometry import Grid, plain_grid
from autoseg.plan.preprocessing import NoNormalisation, Preprocessing
from autoseg.preprocessing import restoring
from autoseg.preprocessing.preparing import prepare_image, prepare_labels
from autoseg.preprocessing.restoring import Restorer, find_taps

CLASSES = Labels(values={"background": 0, "kidney": 10, "tumour": 300, "cyst": 4})
REGIONS = Labels(
    values={"background": 0, "kidney": 1, "tumour": 2},
    regions={"whole": Region(values=(1, 2), paint=1), "tumour": Region(values=(2,), paint=2)},
)


def placed(grid, spacing_mm, axis_order=(0, 1, 2), crop=None):
    """The placement of an image that is not 0 in `crop` only."""
    array = np.zeros((1, *grid.shape), dtype=np.float32)
    array[(0, *crop) if crop else 0] = 1
    preprocessing = Preprocessing(spacing_mm=spacing_mm, axis_order=axis_order, normalisation=(NoNormalisation(),))
    return prepare_image(Image(array, grid), preprocessing)[1]


CROP = (slice(1, 9), slice(3, 11), slice(0, 13))
PLACEMENTS = [
    pytest.param(placed(plain_grid((8, 9, 10), (1.0, 1.0, 1.0)), (1.0, 1.0, 1.0)), id="unchanged"),
    pytest.param(placed(plain_grid((8, 9, 10), (1.0, 1.0, 1.0)), (1.5, 0.8, 0.6)), id="resampled"),
    pytest.param(placed(plain_grid((8, 9, 10), (5.0, 1.0, 1.0)), (2.0, 0.8, 1.2)), id="coarse on the native side"),
    pytest.param(placed(plain_grid((9, 11, 13), (1.0, 2.0, 1.5)), (1.0, 2.0, 1.5), crop=CROP), id="cropped"),
    pytest.param(
        placed(plain_grid((9, 11, 13), (1.0, 2.0, 1.5)), (1.3, 1.0, 0.9), (2, 0, 1), CROP), id="cropped and turned"
    ),
    pytest.param(
        placed(plain_grid((9, 11, 13), (1.0, 6.0, 1.5)), (4.0, 1.3, 1.3), (1, 0, 2), CROP), id="coarse and turned"
    ),
    pytest.param(placed(plain_grid((9, 11, 13), (4.0, 1.0, 1.0)), (1.5, 1.5), (0, 2, 1), CROP), id="2-D stage"),
    pytest.param(
        placed(Grid((1, 14, 12), (1.0, 5.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0), 2), (1.6, 1.6)), id="2-D image"
    ),
]


def scores_on(placement, outputs, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(outputs, *placement.shape)).astype(np.float32))


def resampled_by_definition(scores, placement):
    """All channels at once, in float64, on the cut-out box in the file's order of axes."""
    target = [placement.crop[axis][1] - placement.crop[axis][0] for axis in placement.axis_order]
    spacing = placement.spacing_mm
    if max(spacing) / min(spacing) <= 3:
        spacing = [placement.native_spacing_mm[axis] for axis in placement.axis_order]
    separate = placement.dimensions == 3 and max(spacing) / min(spacing) > 3 and list(spacing).count(max(spacing)) == 1
    array = scores.numpy().astype(np.float64)
    for axis in range(3):
        factors = np.ones(4)
        factors[axis + 1] = target[axis] / array.shape[axis + 1]
        order = 0 if separate and spacing[axis] == max(spacing) else 1
        array = ndimage.zoom(array, factors, order=order, mode="nearest", grid_mode=True)
    return array.transpose(0, *(1 + np.argsort(placement.axis_order)))


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_labels_equal_the_argmax_over_all_channels(placement, restore_labels):
    scores = scores_on(placement, outputs=4)
    restored = resampled_by_definition(scores, placement)
    expected = np.zeros(placement.native_shape)
    expected[placement.box] = np.array(CLASSES.classes)[restored.argmax(axis=0)]
    ours = restore_labels(scores, placement, CLASSES)
    assert ours.dtype == np.uint16
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_regions_are_painted_in_order(placement, restore_labels):
    scores = scores_on(placement, outputs=2)
    restored = resampled_by_definition(scores, placement)
    expected = np.zeros(placement.native_shape)
    expected[placement.box] = np.select([restored[1] > 0, restored[0] > 0], [2, 1], 0)
    ours = restore_labels(scores, placement, REGIONS)
    assert ours.dtype == np.uint8
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_class_probabilities(placement, restore_probabilities):
    scores = scores_on(placement, outputs=4)
    exponentials = np.exp(resampled_by_definition(scores, placement))
    expected = np.zeros((4, *placement.native_shape))
    expected[0] = 1
    expected[(slice(None), *placement.box)] = exponentials / exponentials.sum(axis=0)
    ours = restore_probabilities(scores, placement, CLASSES)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_region_probabilities(placement, restore_probabilities):
    scores = scores_on(placement, outputs=2)
    expected = np.zeros((2, *placement.native_shape))
    expected[(slice(None), *placement.box)] = 1 / (1 + np.exp(-resampled_by_definition(scores, placement)))
    np.testing.assert_allclose(restore_probabilities(scores, placement, REGIONS), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("rows", [1, 2, 3, 7])
@pytest.mark.parametrize("labels", [CLASSES, REGIONS], ids=["classes", "regions"])
def test_rows_may_come_in_any_number_of_parts(placement, rows, labels, monkeypatch):
    """And are decided in any number of blocks."""
    scores = scores_on(placement, outputs=labels.outputs)
    whole = np.empty((labels.outputs, *placement.native_shape), dtype=np.float32)
    expected = Restorer(placement, labels, whole)
    expected.add(scores)
    monkeypatch.setattr(restoring, "BLOCK_VOXELS", 150)
    parts = np.full_like(whole, np.nan)
    restorer = Restorer(placement, labels, parts)
    for part in scores.split(rows, dim=1):
        restorer.add(part)
        part.fill_(torch.nan)  # the memory is used for the next rows
    np.testing.assert_array_equal(restorer.label_map, expected.label_map)
    np.testing.assert_allclose(parts, whole, rtol=0, atol=1e-6)  # exponentials are rounded by their place in memory


def test_rows_are_decided_as_soon_as_they_can_be():
    """Twice as fine on the image's grid: each row of scores but the first decides two, the last one more."""
    placement = placed(plain_grid((8, 3, 3), (1.0, 1.0, 1.0)), (2.0, 1.0, 1.0))
    restorer = Restorer(placement, CLASSES)
    decided = []
    for _ in range(4):
        restorer.add(torch.tensor([0.0, 1.0, 0.0, 0.0]).reshape(4, 1, 1, 1).expand(4, 1, 3, 3))
        decided.append(int((restorer.label_map == 4).all(axis=(1, 2)).sum()))
    assert decided == [1, 3, 5, 8]


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 5), (5, 1), (7, 7), (7, 8), (8, 7), (10, 33), (33, 10), (403, 105)])
def test_taps_are_those_of_scipys_interpolation(n, m, order):
    values = np.random.default_rng(0).normal(size=n)
    lower, upper, share = (tap.numpy() for tap in find_taps(n, m, order))
    expected = ndimage.zoom(values, m / n, order=order, mode="nearest", grid_mode=True)
    np.testing.assert_allclose((1 - share) * values[lower] + share * values[upper], expected, rtol=0, atol=1e-6)
    assert (np.diff(lower) >= 0).all() and set((upper - lower).tolist()) <= {0, 1}


def test_ties_go_to_the_smaller_class(restore_labels):
    placement = placed(plain_grid((2, 2, 2), (1.0, 1.0, 1.0)), (1.0, 1.0, 1.0))
    scores = torch.zeros(4, 2, 2, 2)
    scores[2:] = 1
    assert (restore_labels(scores, placement, CLASSES) == 10).all()


def test_half_precision_scores_are_interpolated_in_single_precision(restore_labels):
    placement = PLACEMENTS[1].values[0]
    scores = scores_on(placement, outputs=4).bfloat16()
    np.testing.assert_array_equal(
        restore_labels(scores, placement, CLASSES), restore_labels(scores.float(), placement, CLASSES)
    )


@pytest.mark.parametrize("axis_order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize(
    ("spacing_mm", "least"),
    [
        pytest.param((1.0, 1.0, 1.0), 1.0, id="unchanged"),
        pytest.param((0.5, 0.7, 0.8), 0.98, id="finer"),
        pytest.param((1.3, 1.2, 1.4), 0.85, id="coarser"),
    ],
)
def test_a_label_map_survives_the_way_there_and_back(axis_order, spacing_mm, least, restore_labels):
    z, y, x = np.mgrid[:26, :28, :30]
    label_map = np.where((z - 13) ** 2 + (y - 13) ** 2 + (x - 16) ** 2 < 81, 10, 0)
    label_map[(z - 13) ** 2 + (y - 13) ** 2 + (x - 16) ** 2 < 25] = 300
    crop = (slice(1, 25), slice(1, 26), slice(4, 30))
    placement = placed(plain_grid((26, 28, 30), (1.0, 1.0, 1.0)), spacing_mm, axis_order, crop)
    classes = torch.from_numpy(prepare_labels(label_map, placement, CLASSES)).long()
    scores = torch.nn.functional.one_hot(classes, 4).permute(3, 0, 1, 2).float()
    restored = restore_labels(scores, placement, CLASSES)
    for value in (10, 300):
        dice = (
            2
            * ((restored == value) & (label_map == value)).sum()
            / ((restored == value).sum() + (label_map == value).sum())
        )
        assert dice >= least


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_scores_on_a_gpu(restore_labels):
    placement = PLACEMENTS[4].values[0]
    scores = scores_on(placement, outputs=4)
    np.testing.assert_array_equal(
        restore_labels(scores.cuda(), placement, CLASSES), restore_labels(scores, placement, CLASSES)
    )


def test_the_nearest_voxels_label_on_request():
    """Order 0: each voxel of the image takes the label of the prepared voxel its centre lies in."""
    placement = placed(plain_grid((6, 12, 9), (1.0, 1.0, 1.0)), (2.0, 2.0, 3.0))
    scores = scores_on(placement, 3)
    restorer = Restorer(placement, Labels(values={"background": 0, "a": 1, "b": 2}), order=0)
    restorer.add(scores)
    prepared = scores.numpy().argmax(0)
    np.testing.assert_array_equal(restorer.label_map, prepared.repeat(2, 0).repeat(2, 1).repeat(3, 2))
