"""Distances against SciPy's exact Euclidean distance transform."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from autoseg.training.losses.distance import distance_to, signed_distance

SHAPES = [(9,), (7, 12), (1, 12), (6, 9, 11), (5, 1, 8)]


def masks(shape, share, seed=0):
    return np.random.default_rng(seed).random((2, 3, *shape)) < share


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_distance_to_the_nearest_voxel_of_a_mask(shape, share):
    mask = masks(shape, share)
    mask[..., -1] |= ~mask.reshape(2, 3, -1).any(-1).reshape(2, 3, *[1] * (len(shape) - 1))  # none is empty
    found = distance_to(torch.tensor(mask)).numpy()
    for place in np.ndindex(2, 3):
        np.testing.assert_allclose(found[place], distance_transform_edt(~mask[place]), rtol=1e-6)


def test_nothing_is_infinitely_far():
    assert distance_to(torch.zeros(1, 1, 3, 4, dtype=torch.bool)).isposinf().all()


def test_across_hundreds_of_voxels():
    mask = np.zeros((1, 1, 300, 200), dtype=bool)
    mask[0, 0, 0, 0] = True
    found = distance_to(torch.tensor(mask))
    assert found[0, 0, -1, -1].item() == pytest.approx(np.hypot(299, 199), rel=1e-7)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_signed(shape):
    inside, known = masks(shape, 0.5), masks(shape, 0.8, seed=1)
    found = signed_distance(torch.tensor(inside & known), torch.tensor(~inside & known)).numpy()
    assert (found[~known] == 0).all()
    for place in np.ndindex(2, 3):
        there, elsewhere = inside[place] & known[place], ~inside[place] & known[place]
        if not (there.any() and elsewhere.any()):
            assert (found[place] == 0).all()
            continue
        outer, inner = distance_transform_edt(~there), 1 - distance_transform_edt(~elsewhere)
        np.testing.assert_allclose(found[place][there], inner[there], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(found[place][elsewhere], outer[elsewhere], rtol=1e-6)
