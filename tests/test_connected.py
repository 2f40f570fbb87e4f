"""Connected components, against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from autoseg.connected import connected_components

SHAPES = [(1, 1, 9), (1, 9, 1), (9, 1, 1), (1, 9), (9, 1), (1, 5, 6), (4, 5), (4, 5, 6), (1, 1, 1)]


@pytest.mark.parametrize("across_corners", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_as_scipy_numbers_them(shape, across_corners):
    rng = np.random.default_rng(0)
    structure = ndi.generate_binary_structure(len(shape), len(shape) if across_corners else 1)
    for _ in range(50):
        mask = rng.random(shape) < rng.random()
        expected, count = ndi.label(mask, structure)
        found = connected_components(mask, across_corners)
        assert found[1] == count
        # The same components, whatever their numbers.
        pairs = {*zip(found[0].ravel().tolist(), expected.ravel().tolist(), strict=True)}
        assert len(pairs - {(0, 0)}) == count
        np.testing.assert_array_equal(found[0] > 0, mask)
