from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from autoseg.boxes import box_around, box_of


@pytest.mark.parametrize("shape", [(7, 9), (5, 6, 7), (1, 6, 1)])
@pytest.mark.parametrize("share", [0.01, 0.1, 1.0])
def test_the_box_of_a_mask_is_scipy_s(shape, share):
    for seed in range(20):
        mask = np.random.default_rng(seed).random(shape) < share
        assert [box_of(mask)] == ndi.find_objects(mask.astype(np.uint8), 1)


def test_an_empty_mask_has_no_box():
    assert box_of(np.zeros((3, 4), bool)) is None
    assert box_of(np.zeros((0, 4), bool)) is None


def test_the_box_around_boxes_is_that_of_their_union():
    masks = np.random.default_rng(0).random((4, 8, 8, 8)) < 0.01
    masks[2] = False
    assert box_around(map(box_of, masks)) == box_of(masks.any(axis=0))


def test_around_none_there_is_no_box():
    assert box_around([None, None]) is None
    assert box_around([]) is None
