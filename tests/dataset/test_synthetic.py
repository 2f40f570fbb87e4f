from __future__ import annotations

import numpy as np
import pytest

from autoseg.dataset import check_dataset, generate_kidneys, read_image, read_label_map

CASES = 10


@pytest.fixture(scope="module")
def kidneys(tmp_path_factory):
    return generate_kidneys(tmp_path_factory.mktemp("kidneys"), cases=CASES, test_cases=2)


@pytest.fixture(scope="module")
def volumes(kidneys):
    return [(read_image(*case.images), read_label_map(case.label)[0]) for case in kidneys.cases]


def test_the_dataset_is_sound(kidneys):
    assert check_dataset(kidneys, processes=1) == []
    assert kidneys.description.channels == ("CT",)
    assert kidneys.description.labels.values == {"background": 0, "kidney": 1, "tumour": 2}
    assert [case.name for case in kidneys.cases] == [f"kidneys_{number:03d}" for number in range(CASES)]


def test_label_maps_of_test_cases_lie_apart(kidneys):
    assert [case.name for case in kidneys.test_cases] == ["kidneys_010", "kidneys_011"]
    for case in kidneys.test_cases:
        label_map, grid = read_label_map(kidneys.path / "labelsTs" / f"{case.name}.nii.gz")
        assert read_image(*case.images).grid.differs_from(grid) is None
        assert 1 in label_map


def test_same_seed_same_voxels(kidneys, volumes, tmp_path):
    again = generate_kidneys(tmp_path / "again", cases=2)
    other = generate_kidneys(tmp_path / "other", cases=2, seed=1)
    for case, (image, label_map) in zip(again.cases, volumes, strict=False):
        np.testing.assert_array_equal(read_image(*case.images).array, image.array)
        np.testing.assert_array_equal(read_label_map(case.label)[0], label_map)
    assert read_image(*other.cases[0].images).array.shape != volumes[0][0].array.shape


def test_grids_vary_and_are_oblique(volumes):
    grids = [image.grid for image, _ in volumes]
    assert len({grid.shape for grid in grids}) > 5
    for grid in grids:
        assert all(low <= n <= high for n, low, high in zip(grid.shape, (28, 71, 71), (34, 85, 85), strict=True))
        assert grid.spacing_mm == pytest.approx((4, 2, 2), rel=0.051)
        matrix = np.reshape(grid.direction, (3, 3))
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-6)
        assert np.linalg.det(matrix) == pytest.approx(1)


def test_intensities_are_those_of_ct(volumes):
    for image, label_map in volumes:
        array = image.array[0]
        assert -1024 <= array.min() < -950
        assert 400 < array.max() < 1000
        assert 130 < np.median(array[label_map == 1]) < 200
        if (label_map == 2).any():
            assert 60 < np.median(array[label_map == 2]) < 110


def test_kidneys_and_tumours_are_large_enough_to_learn(volumes):
    with_tumour = [label_map for _, label_map in volumes if (label_map == 2).any()]
    assert CASES / 2 <= len(with_tumour) < CASES
    assert all((label_map == 1).sum() > 1500 for _, label_map in volumes)
    assert all((label_map == 2).sum() >= 150 for label_map in with_tumour)
