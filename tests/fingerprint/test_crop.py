"""The box of non-zero voxels against nnU-Net's definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from autoseg.fingerprint import nonzero_box


@pytest.mark.parametrize(
    ("occupied", "expected"),
    [
        ([], (slice(0, 4), slice(0, 5), slice(0, 6))),  # nothing to crop to: the whole image
        ([(0, 2, 3, 4)], (slice(2, 3), slice(3, 4), slice(4, 5))),
        ([(0, 0, 0, 0), (0, 3, 4, 5)], (slice(0, 4), slice(0, 5), slice(0, 6))),
        ([(0, 1, 1, 1), (1, 2, 3, 1)], (slice(1, 3), slice(1, 4), slice(1, 2))),  # any channel counts
    ],
)
def test_box(occupied, expected):
    image = np.zeros((2, 4, 5, 6), dtype=np.float32)
    for place in occupied:
        image[place] = -3.5
    assert nonzero_box(image) == expected


def test_filled_holes_do_not_change_the_box():
    random = np.random.default_rng(0)
    for _ in range(20):
        image = np.zeros((1, 12, 12, 12))
        image[0, 2:10, 3:9, 1:11] = random.random((8, 6, 10)) > 0.8
        filled = ndi.binary_fill_holes(image[0] != 0)
        assert (nonzero_box(image),) == tuple(ndi.find_objects(filled.astype(int)))
