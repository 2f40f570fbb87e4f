"""What a prediction leaves of an image: boxes and masks worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.dataset.images import Image
from autoseg.dataset.labels import Labels, Region
from autoseg.geometry import Grid, plain_grid
from autoseg.plan.preprocessing import CTWindow, NoNormalisation, Preprocessing
from autoseg.plan.previous import CropAround, CropFixed, Mask, Previous
from autoseg.preprocessing.preparing import prepare_image
from autoseg.preprocessing.previous import Focus, Rules, find_focus, find_lost, masked

LABELS = Labels(values={"background": 0, "kidney": 5, "tumour": 9})
GRID = plain_grid((10, 20, 30), (4.0, 2.0, 1.0))


def rules(labels: Labels = LABELS, axis_order=(0, 1, 2), orientation=None, **previous) -> Rules:
    preprocessing = Preprocessing(
        spacing_mm=(4.0, 2.0, 1.0), axis_order=axis_order, orientation=orientation, normalisation=(NoNormalisation(),)
    )
    return Rules(Previous(stage="first", as_channels=False, **previous), preprocessing, labels)


@pytest.fixture
def prediction():
    """A kidney at z 4…5, y 8…11, x 10…19, and a tumour at its end, x 20…21."""
    found = np.zeros(GRID.shape, dtype=np.uint8)
    found[4:6, 8:12, 10:20] = 5
    found[4:6, 8:12, 20:22] = 9
    return found


@pytest.mark.parametrize(
    ("crop", "box"),
    [
        (CropAround(margin_mm=0), ((4, 6), (8, 12), (10, 22))),
        (CropAround(margin_mm=0, labels=("tumour",)), ((4, 6), (8, 12), (20, 22))),
        (CropAround(margin_mm=4), ((3, 7), (6, 14), (6, 26))),
        (CropAround(margin_mm=5), ((2, 8), (5, 15), (5, 27))),  # a part of a voxel counts as one
        (CropAround(margin_mm=1000), ((0, 10), (0, 20), (0, 30))),
        (CropFixed(size_mm=(16, 16, 20)), ((3, 7), (6, 14), (6, 26))),
        (CropFixed(size_mm=(16, 16, 20), labels=("kidney",)), ((3, 7), (6, 14), (5, 25))),
        (CropFixed(size_mm=(16, 16, 3)), ((3, 7), (6, 14), (14, 18))),  # 14.5 to 17.5
        (CropFixed(size_mm=(4, 100, 40)), ((4, 6), (0, 20), (0, 30))),  # cut where the image ends
    ],
)
def test_boxes(prediction, crop, box):
    focus = find_focus(prediction, GRID, rules(crop=crop))
    assert focus == Focus(tuple(slice(*side) for side in box), None, True)


def test_sizes_go_along_the_axes_of_the_array(prediction):
    """The array's first axis is the file's last: the box is 8 mm along x, 16 along z and 24 along y."""
    crop = CropFixed(size_mm=(8, 16, 24))
    focus = find_focus(prediction, GRID, rules(crop=crop, axis_order=(2, 0, 1)))
    assert focus.box == (slice(3, 7), slice(4, 16), slice(12, 20))
    sagittal = Grid(GRID.shape, GRID.spacing_mm, (0, 0, 0), (0, 0, 1, 1, 0, 0, 0, 1, 0), 3)
    turned = find_focus(prediction, sagittal, rules(crop=crop, orientation="LPS"))
    # The file's x runs to posterior, its y to superior, its z to the left: the turned array has them as y, z and x.
    assert turned.box == (slice(2, 8), slice(8, 12), slice(8, 24))


def test_a_mask_keeps_intensities_inside_and_sets_the_others(prediction):
    image = Image(np.random.default_rng(0).normal(50, 20, (2, *GRID.shape)).astype(np.float32), GRID)
    before = image.array.copy()
    one = rules(mask=Mask(value=-1024, labels=("tumour",)))
    focus = find_focus(prediction, GRID, one)
    seen = masked(image, focus, one.previous).array
    assert (seen[:, prediction != 9] == -1024).all()
    np.testing.assert_array_equal(seen[:, prediction == 9], before[:, prediction == 9])
    np.testing.assert_array_equal(image.array, before)


def test_the_masks_value_is_normalised_with_the_rest(prediction):
    one = rules(crop=CropAround(margin_mm=4), mask=Mask(value=-100))
    window = CTWindow(lower=-50, upper=100, mean=10, std=30)
    preprocessing = one.preprocessing.model_copy(update={"normalisation": (window,)})
    image = Image(np.full((1, *GRID.shape), 70, dtype=np.float32), GRID)
    focus = find_focus(prediction, GRID, one)
    array, placement = prepare_image(masked(image, focus, one.previous), preprocessing, focus.box)
    assert placement.crop == ((3, 7), (6, 14), (6, 26))
    inside = np.where(prediction[3:7, 6:14, 6:26] != 0, np.float32((70 - 10) / 30), np.float32((-50 - 10) / 30))
    np.testing.assert_allclose(array[0], inside, rtol=1e-6)


def test_regions_are_named_as_labels_are(prediction):
    labels = Labels(
        values=LABELS.values, regions={"all": Region(values=(5, 9), paint=5), "tumour": Region(values=(9,), paint=9)}
    )
    for name, expected in {"all": prediction != 0, "tumour": prediction == 9}.items():
        focus = find_focus(prediction, GRID, rules(labels, mask=Mask(value=0, labels=(name,))))
        np.testing.assert_array_equal(focus.mask, expected)


@pytest.mark.parametrize("previous", [{"crop": CropAround(labels=("tumour",))}, {"mask": Mask(value=0)}])
def test_what_is_not_found_neither_crops_nor_masks(prediction, previous):
    nothing = np.where(prediction == 5, 5, 0) if "crop" in previous else np.zeros_like(prediction)
    one = rules(**previous)
    focus = find_focus(nothing, GRID, one)
    assert focus == Focus(None, None, False)
    image = Image(np.ones((1, *GRID.shape), dtype=np.float32), GRID)
    assert masked(image, focus, one.previous) is image


def test_what_is_lost_is_counted(prediction):
    truth = np.zeros(GRID.shape, dtype=np.uint8)
    truth[4:6, 8:12, 5:15] = 5
    truth[0, 0, :3] = 9
    boxed = rules(crop=CropAround(margin_mm=0))
    lost = find_lost(truth, prediction, GRID, find_focus(prediction, GRID, boxed), boxed)
    assert lost == ({"kidney": 80, "tumour": 3}, {"kidney": 40, "tumour": 3}, None)
    within = rules(mask=Mask(value=0, labels=("tumour",)))
    lost = find_lost(truth, prediction, GRID, find_focus(prediction, GRID, within), within)
    assert lost.outside == {"kidney": 80, "tumour": 3}
    whole = find_lost(truth, prediction, GRID, Focus(None, None, False), boxed)
    assert whole.outside == {"kidney": 0, "tumour": 0}


def test_voxels_that_nobody_annotated_are_not_lost(prediction):
    labels = Labels(values=LABELS.values, ignore=255)
    truth = np.full(GRID.shape, 255, dtype=np.uint8)
    truth[5, 9, 15] = 5
    one = rules(labels, crop=CropFixed(size_mm=(1, 1, 1)))
    lost = find_lost(truth, prediction, GRID, find_focus(prediction, GRID, one), one)
    assert lost.voxels == {"kidney": 1, "tumour": 0}
    np.testing.assert_allclose(lost.covering_mm, (2 * 4, 2 * 2, 2 * 1))


@pytest.mark.parametrize("axis_order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("seed", range(10))
def test_a_box_of_the_covering_size_holds_the_truth_of_every_case(seed, axis_order):
    generator = np.random.default_rng(seed)
    cases = []
    for _ in range(4):
        grid = plain_grid((12, 14, 16), tuple(generator.uniform(0.7, 3.1, 3)))
        truth, predicted = np.zeros(grid.shape, dtype=np.uint8), np.zeros(grid.shape, dtype=np.uint8)
        for one in (truth, predicted):
            corner = generator.integers(0, 8, 3)
            one[tuple(slice(at, at + size) for at, size in zip(corner, generator.integers(1, 5, 3), strict=True))] = 5
        cases.append((truth, predicted, grid))

    def lost(size_mm):
        one = rules(crop=CropFixed(size_mm=size_mm), axis_order=axis_order)
        return [find_lost(truth, seen, grid, find_focus(seen, grid, one), one) for truth, seen, grid in cases]

    first = lost((0.1, 0.1, 0.1))
    assert any(case.outside["kidney"] for case in first)
    covering = tuple(max(along) for along in zip(*(case.covering_mm for case in first), strict=True))
    assert not any(case.outside["kidney"] for case in lost(covering))
    smaller = tuple(size - 2 * 3.1 - 0.1 for size in covering)  # by more than two voxels
    if min(smaller) > 0:
        assert any(case.outside["kidney"] for case in lost(smaller))
