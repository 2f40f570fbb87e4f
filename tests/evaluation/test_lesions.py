"""Lesions, against hand-worked maps, and against a matching found by trying all."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy import ndimage as ndi

from autoseg.evaluation.lesions import Lesions, match_lesions


def mask(*rows: str) -> np.ndarray:
    return np.array([[sign == "#" for sign in row] for row in rows])


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        pytest.param(["...."], ["...."], (0, 0, 0), id="nothing"),
        pytest.param(["##.."], ["...."], (1, 0, 0), id="false positive"),
        pytest.param(["...."], ["##.#"], (0, 2, 0), id="missed"),
        pytest.param(["##.#"], ["#..#"], (2, 2, 2), id="two found"),
        pytest.param(["#######"], ["###.###"], (1, 2, 1), id="one blob over two lesions finds one"),
        pytest.param(["###.###"], ["#######"], (2, 1, 1), id="one lesion in two pieces is found once"),
        pytest.param(["#" * 10], ["#" + "." * 9], (1, 1, 1), id="a tenth of the union is enough"),
        pytest.param(["#" * 11], ["#" + "." * 10], (1, 1, 0), id="less than a tenth is not"),
        pytest.param(["##.", "..#"], ["##.", "..#"], (1, 1, 1), id="corners connect"),
        # the first predicted lesion fits both true ones, the second only the first: both are matched all the same
        pytest.param(["####.", ".....", "##..."], ["##.##", "##...", "##..."], (2, 2, 2), id="as many as can be"),
    ],
)
def test_hand_worked(prediction: list[str], reference: list[str], expected: tuple[int, int, int]) -> None:
    assert match_lesions(mask(*prediction), mask(*reference)) == expected


def test_three_dimensions_connect_by_corners() -> None:
    volume = np.zeros((2, 2, 2), bool)
    volume[0, 0, 0] = volume[1, 1, 1] = True
    assert match_lesions(volume, volume) == (1, 1, 1)


@pytest.mark.parametrize(
    ("lesions", "precision", "recall", "f1"),
    [
        (Lesions(4, 2, 1), 0.25, 0.5, 1 / 3),
        (Lesions(0, 3, 0), None, 0.0, 0.0),
        (Lesions(3, 0, 0), 0.0, None, 0.0),
        (Lesions(0, 0, 0), None, None, None),
        (Lesions(2, 2, 2), 1.0, 1.0, 1.0),
    ],
)
def test_rates(lesions: Lesions, precision: float | None, recall: float | None, f1: float | None) -> None:
    assert (lesions.precision, lesions.recall, lesions.f1) == pytest.approx((precision, recall, f1))


@pytest.mark.parametrize("shape", [(5, 6, 7), (12, 14)])
def test_as_many_pairs_as_the_best_of_all_assignments(shape: tuple[int, ...]) -> None:
    """SciPy's components, IoU of every pair from its definition, and every assignment tried."""
    neighbours = np.ones((3,) * len(shape))
    matched_some_and_not_all = 0
    for seed in range(30):
        noise = ndi.gaussian_filter(np.random.default_rng(seed).standard_normal((2, *shape)), (0, *[0.7] * len(shape)))
        prediction, reference = noise > np.quantile(noise, 0.82)
        (ours, predicted), (theirs, true) = (ndi.label(one, neighbours) for one in (prediction, reference))
        if max(predicted, true) > 7:
            continue
        fits = np.zeros((max(predicted, true),) * 2, bool)
        for i in range(predicted):
            for j in range(true):
                first, second = ours == i + 1, theirs == j + 1
                fits[i, j] = (first & second).sum() >= 0.1 * (first | second).sum()
        best = max(sum(fits[i, j] for i, j in enumerate(order)) for order in permutations(range(len(fits))))
        assert match_lesions(prediction, reference) == (predicted, true, best)
        matched_some_and_not_all += 0 < best < max(predicted, true)
    assert matched_some_and_not_all > 3
