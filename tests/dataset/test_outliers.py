"""Cases that are far off the rest, and honest data in which none is."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np
import pytest

from autoseg.dataset import Dataset, read_grid
from autoseg.dataset.outliers import outliers


class Sized(NamedTuple):
    name: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]


def alike(count, shape=(100, 512, 512), spacing_mm=(1.0, 0.8, 0.8)):
    return [Sized(f"c{place}", shape, spacing_mm) for place in range(count)]


def test_voxels_ten_times_thicker():
    odd = Sized("odd", (100, 512, 512), (10.0, 0.8, 0.8))
    assert outliers([*alike(9), odd]) == (
        "Case 'odd' has voxels of 10 mm along z, 10 times the median of the 10 cases, 1 mm.",
    )


def test_centimetres_for_millimetres_are_told_once():
    odd = Sized("odd", (100, 512, 512), (0.1, 0.08, 0.08))
    assert outliers([*alike(9), odd]) == (
        "Case 'odd' has voxels of 0.1 mm along z, 10 times less than the median of the 10 cases, 1 mm.",
    )


def test_an_extent_five_times_shorter():
    odd = Sized("odd", (100, 100, 512), (1.0, 0.8, 0.8))
    assert outliers([*alike(9), odd]) == (
        "Case 'odd' has an extent of 80 mm along y (100 voxels of 0.8 mm), 5.12 times less than the median of the "
        "10 cases, 409.6 mm.",
    )


@pytest.mark.parametrize(
    ("spacing_mm", "shape", "far"),
    [
        ((3.0, 0.8, 0.8), (33, 512, 512), True),
        ((2.9, 0.8, 0.8), (34, 512, 512), False),
        ((1.0, 0.8, 0.8), (400, 512, 512), True),
        ((1.0, 0.8, 0.8), (399, 512, 512), False),
        ((2.0, 0.8, 0.8), (200, 512, 512), True),  # neither is much, the extent of four times is
        ((0.5, 0.8, 0.8), (800, 512, 512), True),
        ((2.5, 0.8, 0.8), (40, 512, 512), False),
    ],
)
def test_from_three_times_the_voxel_size_and_four_times_the_extent(spacing_mm, shape, far):
    assert bool(outliers([*alike(9), Sized("odd", shape, spacing_mm)])) is far


def test_what_the_others_spread_is_no_exception():
    thick = Sized("odd", (90, 512, 512), (5.0, 0.8, 0.8))
    narrow = [Sized(f"c{i}", (450, 512, 512), (z, 0.8, 0.8)) for i, z in enumerate(np.linspace(0.8, 1.2, 20))]
    wide = [Sized(f"c{i}", (450, 512, 512), (z, 0.8, 0.8)) for i, z in enumerate(np.geomspace(0.6, 5.0, 20))]
    assert len(outliers([*narrow, thick])) == 1
    assert outliers([*wide, thick]) == ()


def test_a_kind_of_image_that_some_cases_share_is_no_exception():
    thick = [Sized(f"t{place}", (20, 512, 512), (5.0, 0.8, 0.8)) for place in range(3)]
    assert len(outliers([*alike(30), *thick[:2]])) == 2
    assert outliers([*alike(30), *thick]) == ()


def test_few_cases_tell_nothing_of_the_rest():
    odd = Sized("odd", (100, 512, 512), (50.0, 0.8, 0.8))
    assert outliers([]) == ()
    assert outliers([*alike(3), odd]) == ()
    assert len(outliers([*alike(4), odd])) == 1


def test_the_worst_five_and_a_count():
    odd = [Sized(f"odd{factor}", (100, 512, 512), (float(factor), 0.8, 0.8)) for factor in range(4, 11)]
    sentences = outliers([*alike(700), *odd])
    assert [sentence.split("'")[1] for sentence in sentences[:5]] == ["odd10", "odd9", "odd8", "odd7", "odd6"]
    assert sentences[5:] == ("2 more cases are far off the others in size or voxel size.",)


def test_pictures_have_one_slice():
    pictures = alike(8, (1, 300, 300), (1.0, 1.0, 1.0))
    assert outliers([*pictures, Sized("odd", (1, 300, 2000), (1.0, 1.0, 1.0))]) == (
        "Case 'odd' has an extent of 2000 mm along x (2000 voxels of 1 mm), 6.67 times the median of the 9 cases, "
        "300 mm.",
    )


@pytest.mark.parametrize("seed", range(5))
def test_honest_abdominal_ct(seed):
    """Slices of 0.6 to 5 mm, bodies of 200 to 1000 mm, as in LiTS."""
    random = np.random.default_rng(seed)
    cases = []
    for place in range(131):
        z, xy = random.choice([0.6, 0.7, 0.8, 1, 1, 1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 5]), random.uniform(0.55, 1.0)
        extent = np.clip(random.lognormal(np.log(450), 0.4), 200, 1000)
        cases.append(Sized(f"c{place}", (round(extent / z), 512, 512), (float(z), xy, xy)))
    assert outliers(cases) == ()


@pytest.mark.parametrize("dataset", ["hippocampus", "acdc_like", "liver_like", "brats_like", "em2d_like"])
def test_no_false_alarm_on_the_fingerprints_of_nnunet(real_data, dataset):
    measured = json.loads(real_data("plan_references.json").read_text())[dataset]["fingerprint"]
    grids = zip(measured["shapes_after_crop"], measured["spacings"], strict=True)
    assert outliers([Sized(str(place), *map(tuple, grid)) for place, grid in enumerate(grids)]) == ()


@pytest.mark.parametrize("dataset", ["hippocampus", "kits19_labels"])
def test_no_false_alarm_on_real_data(real_data, dataset):
    grids = [(case.name, read_grid(case.label)) for case in Dataset.open(real_data(dataset)).cases]
    assert outliers([Sized(name, grid.shape, grid.spacing_mm) for name, grid in grids]) == ()
