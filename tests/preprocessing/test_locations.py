from __future__ import annotations

import numpy as np
import pytest

from autoseg.dataset.labels import IGNORE_CLASS, Labels, Region
from autoseg.preprocessing.locations import sample_locations

LABELS = Labels(values={"background": 0, "kidney": 1, "tumour": 2})


def class_map_with(voxels, shape=(20, 100, 1000)):
    """A map whose first voxels are of class 1, as many as said."""
    class_map = np.zeros(shape, dtype=np.int16)
    class_map.ravel()[:voxels] = 1
    return class_map


@pytest.mark.parametrize(
    ("voxels", "expected"),
    [
        pytest.param(0, 0, id="absent"),
        pytest.param(1, 1, id="one"),
        pytest.param(9_999, 9_999, id="all of a few"),
        pytest.param(10_001, 10_000, id="no more than 10 000"),
        pytest.param(1_000_001, 10_001, id="1 % of many, rounded up"),
    ],
)
def test_number_of_locations(voxels, expected):
    kidney, tumour = sample_locations(class_map_with(voxels), LABELS).targets
    assert kidney.shape == (expected, 3)
    assert tumour.shape == (0, 3)
    assert kidney.dtype == tumour.dtype == np.int32


def test_locations_lie_in_their_target_and_none_comes_twice():
    class_map = np.random.default_rng(0).integers(0, 3, size=(30, 40, 50)).astype(np.int16)
    locations = sample_locations(class_map, LABELS)
    for value, voxels in enumerate(locations.targets, start=1):
        assert (class_map[tuple(voxels.T)] == value).all()
        assert len(np.unique(voxels, axis=0)) == len(voxels)
    assert locations.annotated is None


def test_the_same_every_time_and_spread_over_the_target():
    first, second = (sample_locations(class_map_with(500_000), LABELS).targets[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert np.histogram(first[:, 0], bins=5, range=(0, 5))[0] == pytest.approx([2000] * 5, rel=0.1)


def test_regions_are_sampled_whole():
    regions = {"whole": Region(values=(1, 2), paint=1), "tumour": Region(values=(2,), paint=2)}
    class_map = np.array([0, 1, 2, 1], dtype=np.int16)[None, None]
    whole, tumour = sample_locations(class_map, LABELS.model_copy(update={"regions": regions})).targets
    assert sorted(whole[:, 2].tolist()) == [1, 2, 3]
    assert tumour.tolist() == [[0, 0, 2]]


def test_with_an_ignore_label_annotated_voxels_are_sampled_background_included():
    class_map = np.array([0, IGNORE_CLASS, 2, IGNORE_CLASS], dtype=np.int16)[None, None]
    annotated = sample_locations(class_map, LABELS.model_copy(update={"ignore": 9})).annotated
    assert sorted(annotated[:, 2].tolist()) == [0, 2]
