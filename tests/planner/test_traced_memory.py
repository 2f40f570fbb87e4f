"""What fits, from steps that are predicted: lines, proportions, and never against what was traced."""

from __future__ import annotations

import math

import pytest

from autoseg.memory import GIGABYTE
from autoseg.planner.topology import Topology
from autoseg.planner.traced_memory import Extent, Line, Point, Traces, traced_memory

TWICE = ((1, 1), (2, 2))
WIDE = ((3, 3), (3, 3))
LARGE = Topology((100, 100), TWICE, WIDE)  # 10,000 voxels a patch
HALF = Topology((100, 50), TWICE, WIDE)
OTHER = Topology((80, 50), TWICE, ((3, 3), (1, 1)))
EXTENTS = {LARGE: Extent(1000, 40_000), HALF: Extent(1000, 20_000), OTHER: Extent(500, 8_000)}
FIRST = [12, 48]  # batches of the first network


class Steps:
    """Predicts, by a function of topology and batch, and remembers what it was asked."""

    def __init__(self, needed):
        self.needed, self.asked = needed, []

    def __call__(self, topology, batch_size):
        self.asked.append((topology, batch_size))
        return self.needed(topology, batch_size)


def traces_of(steps, margin=0.0):
    return Traces(steps, EXTENTS.__getitem__, margin)


def straight(topology, batch_size):
    """2 MB for the weights, 100 bytes a voxel."""
    return 2_000_000 + 100 * batch_size * math.prod(topology.patch_size)


def bent(topology, batch_size):
    """The optimiser's 500 MB, until the feature maps, 1 MB a patch, need more."""
    return max(500_000_000, 300_000_000 + 1_000_000 * batch_size)


# Lines


@pytest.mark.parametrize(
    ("one", "other", "fixed", "per_voxel"),
    [
        (Point(1000, 5e6), Point(2000, 9e6), 1e6, 4000),
        (Point(0, 3e6), Point(10, 3e6 + 50), 3e6, 5),
        (Point(1000, 5e6), Point(2000, 5e6), 5e6 - 8000, 4),  # no flatter than the image itself: 4 bytes a voxel
    ],
)
def test_a_line_through_two_points(one, other, fixed, per_voxel):
    assert Line.through(one, other) == (fixed, per_voxel)


@pytest.mark.parametrize(("voxels", "expected"), [(0, 1.25e6), (50, 1.25e6), (250, 1.25e6), (500, 1.5e6)])
def test_the_optimiser_needs_a_quarter_more_than_the_fixed_part_however_few_voxels(voxels, expected):
    assert Line(1e6, 1000).at(voxels) == expected


# What fits


@pytest.mark.parametrize(("memory_gb", "expected"), [(0.0029, 0), (0.003, 1), (0.0219, 19), (0.022, 20), (1.0, 998)])
def test_patches_that_fit(memory_gb, expected):
    """2 MB, and 1 MB a patch of 10,000 voxels."""
    memory = traced_memory(traces_of(Steps(straight)), memory_gb, 2, 0.05)
    assert memory.patches_that_fit(LARGE) == expected
    assert memory.fits(LARGE) is (expected >= 2)
    assert (memory.least_batch, memory.largest_share) == (2, 0.05)
    for batch_size in (1, 12, 100):
        assert memory.needed_gb(LARGE, batch_size) == pytest.approx(max(2 + batch_size, 2.5) / 1000)


def test_the_workspace_of_libraries_comes_on_top():
    memory = traced_memory(traces_of(Steps(straight), margin=0.5), 0.033, 2, 0.05)
    assert memory.needed_gb(LARGE, 20) == pytest.approx(0.033)
    assert memory.patches_that_fit(LARGE) in (19, 20)  # by a rounding of the division


def test_no_step_is_traced_twice():
    steps = Steps(straight)
    traces = traces_of(steps)
    memory = traced_memory(traces, 1.0, 2, 0.05)
    for _ in range(3):
        for topology in EXTENTS:
            memory.patches_that_fit(topology)
            memory.needed_gb(topology, 7)
    assert steps.asked == [(LARGE, size) for size in FIRST]
    assert traces.knows(LARGE, 12)
    assert not traces.knows(LARGE, 7)
    assert not traces.knows(HALF, 12)
    assert traces.trace(HALF, 3) == traces.trace(HALF, 3) == 2_000_000 + 100 * 3 * 5000
    assert steps.asked[2:] == [(HALF, 3)]


@pytest.mark.parametrize(
    ("topology", "fixed", "per_patch"),
    [
        (LARGE, 2_000_000, 1_000_000),
        (HALF, 2_000_000, 500_000),  # as many weights, half of the feature maps
        (OTHER, 1_000_000, 200_000),  # half of the weights, a fifth of the feature maps
    ],
)
def test_networks_not_traced_are_taken_in_proportion(topology, fixed, per_patch):
    traces = traces_of(Steps(straight))
    traces.line(LARGE, GIGABYTE)
    line = traces.line(topology, GIGABYTE)
    assert line.fixed == pytest.approx(fixed)
    assert line.per_voxel * math.prod(topology.patch_size) == pytest.approx(per_patch)


def test_in_proportion_to_the_nearest_in_size():
    """OTHER is nearer to HALF (8,000 to 20,000) than to LARGE (40,000), and has half of its weights."""
    traces = traces_of(Steps(lambda topology, size: straight(topology, size) + (topology is HALF) * 4_000_000))
    traces.line(LARGE, GIGABYTE)
    for size in FIRST:
        traces.trace(HALF, size)
    assert traces.line(OTHER, GIGABYTE).fixed == pytest.approx(3_000_000)


def test_one_trace_moves_the_line():
    """HALF needs 3 MB + 0.5 MB a patch, where LARGE lets 2 MB + 0.5 MB expect."""
    traces = traces_of(Steps(lambda topology, size: straight(topology, size) + (topology is HALF) * 1_000_000))
    traces.line(LARGE, GIGABYTE)
    assert traces.patches_that_fit(HALF, 4_500_000) == 5
    assert traces.trace(HALF, 5) == 5_500_000
    assert traces.patches_that_fit(HALF, 4_500_000) == 3
    assert traces.trace(HALF, 3) == 4_500_000
    assert traces.patches_that_fit(HALF, 4_500_000) == 3


@pytest.mark.parametrize(
    ("memory_mb", "between"), [(400, (10, 100)), (550, (100, 300)), (700, (300, 500)), (2000, (500, 900))]
)
def test_the_line_holds_near_the_memory(memory_mb, between):
    """Of a step that bends, the two traces are taken between which the memory lies, or that are nearest to it."""
    traces = traces_of(Steps(bent))
    for size in (900, 10, 500, 100, 300):
        traces.trace(LARGE, size)
    points = [Point(size * 10_000, bent(LARGE, size)) for size in between]
    assert traces.line(LARGE, memory_mb * 1e6) == Line.through(*points)


@pytest.mark.parametrize("memory_mb", [450, 520, 560, 600, 999, 20_000])
def test_what_is_found_fits_once_it_was_traced(memory_mb):
    """The first two batches lie where the optimiser needs the most, so the line through them is far too flat."""
    traces, memory = traces_of(Steps(bent)), memory_mb * 1e6
    for _ in range(10):
        size = traces.patches_that_fit(LARGE, memory)
        if size == 0 or traces.knows(LARGE, size):
            break
        traces.trace(LARGE, size)
    assert size == (0 if memory_mb < 500 else memory_mb - 300)
    assert size == 0 or traces.trace(LARGE, size) <= memory


def test_what_was_traced_to_fit_fits():
    """Even where the line, which asks a quarter more than the fixed part for the optimiser, says otherwise."""
    traces = traces_of(Steps(lambda topology, size: 20_000_000 + 100_000 * size))
    assert traces.patches_that_fit(LARGE, 21_000_000) == 0
    assert traces.trace(LARGE, 2) == 20_200_000
    assert traces.patches_that_fit(LARGE, 20_200_000) == 2
    assert traces.patches_that_fit(LARGE, 20_199_999) == 0
