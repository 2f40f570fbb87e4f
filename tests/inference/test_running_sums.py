"""Sums that forget: against sums of the whole image."""

from __future__ import annotations

import numpy as np
import torch

from autoseg.inference.running_sums import RunningSums

WINDOW = (4, 3, 3)


def test_means_are_those_of_the_whole_image():
    generator = np.random.default_rng(0)
    weight = generator.uniform(0.1, 1, size=WINDOW).astype(np.float32)
    total, weights = np.zeros((2, 10, 5, 3)), np.zeros((10, 5, 3))
    sums = RunningSums(torch.zeros(2, 4, 5, 3), torch.from_numpy(weight))
    found = []
    for z, following in ((0, 2), (2, 5), (5, 6), (6, 10)):
        for y in (0, 2):
            logits = generator.normal(size=(2, *WINDOW)).astype(np.float32)
            sums.add((z, y, 0), torch.from_numpy(logits))
            total[:, z : z + 4, y : y + 3] += logits * weight
            weights[z : z + 4, y : y + 3] += weight
        found.append(sums.means(following).clone())
        sums.forget(following)
        assert sums.first == following
    np.testing.assert_allclose(torch.cat(found, dim=1), total / weights, rtol=0, atol=1e-5)


def test_rows_that_are_forgotten_make_room_for_others():
    sums = RunningSums(torch.zeros(1, 4, 3, 3), torch.ones(WINDOW))
    sums.add((0, 0, 0), torch.ones(1, *WINDOW))
    sums.forget(3)
    assert sums.sums[0, :, 0, 0].tolist() == sums.weights[:, 0, 0].tolist() == [1, 0, 0, 0]
