"""Networks for the minutes there are, on machines made of arithmetic."""

from __future__ import annotations

import math

import pytest

from autoseg.planner.candidate import Candidate
from autoseg.planner.time import FEWEST_ITERATIONS, MEASUREMENTS, fit_time, ladder
from autoseg.planner.topology import network_topology

MM = (1.0, 1.0, 1.0)
HIPPOCAMPUS = Candidate(network_topology(MM, (40, 56, 40)), batch_size=9)
CUBE = Candidate(network_topology(MM, (128, 128, 128)), batch_size=2)
SLICES = Candidate(network_topology((1.0, 1.0), (56, 40)), batch_size=366)


def two_cores(candidate: Candidate) -> float:
    """Multiplications set the pace: 16 features and a batch of 4 on hippocampus take 0.45 s."""
    voxels = candidate.batch_size * math.prod(candidate.topology.patch_size)
    return 0.45 * (candidate.first_features / 16) ** 2 * voxels / (4 * 40 * 56 * 40)


def graphics_card(candidate: Candidate) -> float:
    """A hundred times as fast, but no iteration takes less than 20 ms."""
    return max(0.02, two_cores(candidate) / 100)


class Stopwatch:
    """Measures, and remembers what it was asked."""

    def __init__(self, machine):
        self.machine, self.asked = machine, []

    def __call__(self, candidate):
        self.asked.append(candidate)
        return self.machine(candidate)


@pytest.mark.parametrize(
    ("planned", "machine", "minutes", "features", "batch", "patch"),
    [
        # measured on two cores: benchmarks/results/hippocampus_cpu.md
        (HIPPOCAMPUS, two_cores, 2, 8, 2, (40, 56, 40)),
        (HIPPOCAMPUS, two_cores, 10, 16, 2, (40, 56, 40)),
        (HIPPOCAMPUS, two_cores, 22, 16, 4, (40, 56, 40)),
        (HIPPOCAMPUS, two_cores, 60, 16, 4, (40, 56, 40)),
        (HIPPOCAMPUS, two_cores, 181, 32, 4, (40, 56, 40)),
        (HIPPOCAMPUS, graphics_card, 10, 32, 9, (40, 56, 40)),
        (CUBE, two_cores, 10, 8, 2, (64, 64, 64)),
        (CUBE, two_cores, 60, 8, 2, (128, 128, 128)),
        (CUBE, graphics_card, 10, 16, 2, (128, 128, 128)),
        (SLICES, two_cores, 10, 32, 8, (56, 40)),
        (SLICES, graphics_card, 10, 32, 32, (56, 40)),
    ],
)
def test_the_best_that_fits(planned, machine, minutes, features, batch, patch):
    stopwatch = Stopwatch(machine)
    pace = fit_time(planned, MM[-len(patch) :], 3, minutes, stopwatch).value
    assert (pace.candidate.first_features, pace.candidate.batch_size) == (features, batch)
    assert pace.candidate.topology.patch_size == patch
    assert pace.seconds_per_iteration == machine(pace.candidate)
    assert pace.seconds_per_iteration * FEWEST_ITERATIONS <= minutes * 60
    assert len(stopwatch.asked) <= MEASUREMENTS


def test_hopeless_networks_are_not_measured():
    stopwatch = Stopwatch(two_cores)
    fit_time(CUBE, MM, 3, 10, stopwatch)
    assert max(two_cores(candidate) for candidate in stopwatch.asked) < 5  # the planned one takes 42 s


GOAL = (
    "To learn enough, a network should do 6000 iterations, a batch each, 2000 if it has fewer than 32 features, and "
    "1000 if it is the cheapest there is."
)


def test_where_nothing_fits_the_cheapest_is_taken_and_said():
    decided = fit_time(HIPPOCAMPUS, MM, 3, 0.5, two_cores)
    assert decided.value.candidate == ladder(HIPPOCAMPUS, MM)[-1].candidate
    assert decided.reason == (
        f"{GOAL} In 0.5 minutes none does. The cheapest is taken, which does 533 of its 1000: 8→64 features, batches "
        "of 2, patches of 40 × 56 × 40, at 0.0563 s an iteration."
    )


@pytest.mark.parametrize(
    ("minutes", "reason", "alternative"),
    [
        (
            10,
            f"{GOAL} In 10 minutes the largest that fits the memory (32→256 features, batches of 9, patches of "
            "40 × 56 × 40) does not. The best found that does: 16→128 features, batches of 2, patches of "
            "40 × 56 × 40, at 0.225 s an iteration.",
            "16→128 features, batches of 4, patches of 40 × 56 × 40 would do 1333 of the 2000 iterations it should "
            "(0.45 s each, measured).",
        ),
        (
            420,
            f"{GOAL} In 420 minutes the largest that fits the memory does: 32→256 features, batches of 9, patches of "
            "40 × 56 × 40, at 4.05 s an iteration.",
            "",
        ),
    ],
)
def test_reasons(minutes, reason, alternative):
    decided = fit_time(HIPPOCAMPUS, MM, 3, minutes, two_cores)
    assert (decided.reason, decided.alternative) == (reason, alternative)


@pytest.mark.parametrize(
    ("planned", "expected"),
    [
        (HIPPOCAMPUS, [(32, 9), (32, 4), (32, 2), (16, 4), (16, 2), (8, 4), (8, 2)]),
        (
            SLICES,
            [(32, 366), (32, 32), (32, 16), (32, 8), (16, 32), (16, 16), (16, 8), (8, 32), (8, 16), (8, 8)],
        ),
        (SLICES._replace(batch_size=6), [(32, 6), (16, 6), (8, 6)]),
    ],
)
def test_ladder(planned, expected):
    rungs = ladder(planned, MM[-len(planned.topology.patch_size) :])
    assert [(rung.candidate.first_features, rung.candidate.batch_size) for rung in rungs] == expected


@pytest.mark.parametrize("planned", [HIPPOCAMPUS, CUBE, SLICES])
def test_no_smaller_network_is_dearer(planned):
    rungs = [rung.candidate for rung in ladder(planned, MM[-len(planned.topology.patch_size) :])]
    for upper, lower in zip(rungs, rungs[1:], strict=False):
        if lower.batch_size <= upper.batch_size:
            assert lower.cost(3) < upper.cost(3)


def test_long_axes_are_halved_first():
    flat = Candidate(network_topology((9.0, 1.5, 1.5), (10, 256, 224)), batch_size=2)
    patches = [rung.candidate.topology.patch_size for rung in ladder(flat, (9.0, 1.5, 1.5))]
    assert patches[-3:] == [(10, 128, 112), (10, 64, 56), (10, 32, 28)]
