"""What the nearest other choice would have been: small rules, sentence by sentence."""

from __future__ import annotations

import pytest

from autoseg.planner.augmentation import augmentation
from autoseg.planner.axis_order import axis_order
from autoseg.planner.candidate import Candidate
from autoseg.planner.decided import Decided
from autoseg.planner.loss import loss_terms
from autoseg.planner.optimizer import optimizer
from autoseg.planner.parts import revised, size_parts
from autoseg.planner.spacing import target_spacing
from autoseg.planner.topology import network_topology

THICK, THIN = (5.0, 1.0, 1.0), (2.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("spacings_mm", "shapes", "flat", "expected"),
    [
        pytest.param(
            [THIN] * 2 + [THICK] * 8,
            [(20, 256, 256)] * 10,
            False,
            "By the median alone axis z would get 5.00 mm.",
            id="coarse and short",
        ),
        pytest.param(
            [THIN] * 2 + [THICK] * 8,
            [(200, 256, 256)] * 10,
            False,
            "By the finest tenth of the cases, as for coarse and short axes, axis z would get 2.00 mm.",
            id="coarse, not short",
        ),
        pytest.param(
            [(0.5, 1.0, 1.0)] * 2 + [THIN] * 8,
            [(20, 256, 256)] * 10,
            False,
            "By the finest tenth of the cases, as for coarse and short axes, axis z would get 1.00 mm.",
            id="never finer than the others",
        ),
        pytest.param([THIN] * 10, [(20, 256, 256)] * 10, False, "", id="all alike"),
        pytest.param([(1.0, 0.5, 0.7), (1.0, 0.7, 0.9)], [(1, 99, 99)] * 2, True, "", id="pictures"),
    ],
)
def test_spacing(spacings_mm, shapes, flat, expected):
    assert target_spacing(spacings_mm, shapes, flat).alternative == expected


@pytest.mark.parametrize(
    ("spacing_mm", "shape", "flat", "expected"),
    [
        pytest.param(
            (0.8, 3.0, 0.9),
            (50, 50, 50),
            False,
            "With the axes as they are, slices would lie 0.80 mm apart and have pixels of 3.00 × 0.90 mm.",
            id="another first",
        ),
        pytest.param(
            (5.0, 0.7, 0.8),
            (50, 50, 50),
            False,
            "With x first, slices would lie 0.80 mm apart and have pixels of 5.00 × 0.70 mm.",
            id="as they are",
        ),
        pytest.param((0.5, 1.0, 2.0), (1, 9, 9), False, "By voxel size alone x (2.00 mm) would come first.", id="one"),
        pytest.param((3.0, 1.0, 1.0), (1, 50, 50), False, "", id="one slice, and thick"),
        pytest.param((1.0, 1.0, 1.0), (50, 50, 50), False, "", id="all alike"),
        pytest.param((1.0, 2.0, 3.0), (1, 50, 50), True, "", id="pictures"),
    ],
)
def test_axis_order(spacing_mm, shape, flat, expected):
    assert axis_order(spacing_mm, shape, flat).alternative == expected


@pytest.mark.parametrize(
    ("patch_size", "upright", "expected"),
    [
        ((20, 256, 200), False, "From 86 slices on it would be turned by up to 30° about each axis."),
        ((86, 256, 200), False, "With fewer than 86 slices it would be turned within slices only."),
        (
            (256, 128),
            False,
            "A patch no more than 1.5 times as long as wide (this one: 2.00) would be turned further.",
        ),
        (
            (192, 160),
            False,
            "A patch more than 1.5 times as long as wide (this one: 1.20) would be turned by up to 15° only.",
        ),
        ((192, 160), True, "In a long training it would be turned by any angle."),
        ((64, 64, 64), True, "With fewer than 22 slices it would be turned within slices only."),
    ],
)
def test_augmentation(patch_size, upright, expected):
    assert augmentation(patch_size, (), upright).alternative == expected


@pytest.mark.parametrize("slices", [85, 86])
def test_the_number_of_slices_that_makes_the_difference(slices):
    assert augmentation((slices, 256, 256), ()).value[0].in_plane is (slices < 86)


@pytest.mark.parametrize(
    ("iterations", "as_nnunet", "expected"),
    [
        (300, False, "From 10,000 iterations on it would be gradient descent with strong momentum."),
        (250_000, False, "Below 10,000 iterations it would be AdamW."),
        (300, True, "Preset standard takes AdamW below 10,000 iterations."),
        (250_000, True, ""),
    ],
)
def test_optimizer(iterations, as_nnunet, expected):
    assert optimizer(iterations, as_nnunet).alternative == expected


@pytest.mark.parametrize(
    ("dimensions", "low_resolution", "expected"),
    [
        (2, False, "for each patch in a stage of volumes whose patches show much of an image."),
        (
            3,
            True,
            "for each patch if patches showed so much of the images that a stage at a lower resolution would not",
        ),
        (3, False, "over the batch if patches showed so little of the images that a stage at a lower"),
    ],
)
def test_loss(dimensions, low_resolution, expected):
    assert loss_terms(dimensions, 0, low_resolution).alternative.startswith(f"Dice would be computed {expected}")


def test_a_patch_that_the_time_left_as_it_was_says_for_which_features_it_was_found():
    topology = network_topology((1.0, 1.0), (64, 64))
    wide, narrow = Candidate(topology, 4), Candidate(topology, 4, first_features=8)
    sizes = size_parts(wide, Decided(topology, "fit_patch", {}, "It fits."), Decided(4, "fit_batch", {}, "4 fit."))
    by_time = Decided(None, "fit_time", {}, "There is no time.")
    told = {path: decided.reason for path, decided in revised(sizes, narrow, by_time).items()}
    found = " This was found for 32→512 features; with fewer, as the time demands, it needs less memory."
    assert told == {
        "sampling.patch_size": f"It fits.{found}",
        "sampling.batch_size": f"4 fit.{found}",
        "network.features": "There is no time.",
    }
    smaller = revised(sizes, wide._replace(batch_size=2), by_time)
    assert [decided.reason for decided in smaller.values()] == [
        "It fits.",
        "There is no time.",
        sizes["network.features"].reason,
    ]
