"""How deep networks go, worked by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoseg.planner.topology import initial_patch, network_topology, topology_parts


@pytest.mark.parametrize(
    ("spacing_mm", "median_shape", "expected"),
    [
        ((1.0, 1.0, 1.0), (600, 600, 600), (256, 256, 256)),
        ((1.0, 1.0, 1.0), (36, 50.5, 35), (36, 50.5, 35)),  # halves of a median survive
        ((4.0, 1.0, 1.0), (600, 600, 600), (102, 406, 406)),  # the same mm along all axes
        ((1.0, 1.0), (4000, 900), (2048, 900)),
        ((1.0, 2.0), (4000, 4000), (2896, 1448)),
    ],
)
def test_initial_patch(spacing_mm, median_shape, expected):
    assert initial_patch(spacing_mm, median_shape) == expected


@pytest.mark.parametrize(
    ("spacing_mm", "size", "patch_size", "pools"),
    [
        ((1, 1, 1), (128, 128, 128), (128, 128, 128), (5, 5, 5)),
        ((1, 1, 1), (36, 50, 35), (40, 56, 40), (3, 3, 3)),  # 36, 18, 9, 5: halved while at least 8
        ((1, 1, 1), (7, 7, 7), (7, 7, 7), (0, 0, 0)),
        ((1, 1), (8, 8), (8, 8), (1, 1)),
        ((1, 1), (11, 7), (11, 7), (0, 0)),  # one axis alone needs 12
        ((1, 1), (12, 7), (12, 7), (1, 0)),
        ((1, 1), (35.5, 8), (36, 8), (2, 1)),  # 35.5, 18, 9: alone it would need 12
        ((5, 1, 1), (12, 128, 128), (12, 128, 128), (1, 5, 5)),
        ((2, 1), (64, 64), (64, 64), (3, 4)),  # twice as coarse: the finer axis goes first
        ((1.9, 1), (64, 64), (64, 64), (4, 4)),  # a little less than twice: together
    ],
)
def test_depth(spacing_mm, size, patch_size, pools):
    topology = network_topology(spacing_mm, size)
    assert topology.patch_size == patch_size
    assert topology.divisor == tuple(2**n for n in pools)


@pytest.mark.parametrize(
    ("spacing_mm", "size", "strides", "kernels"),
    [
        ((1, 1), (16, 16), [(1, 1), (2, 2), (2, 2)], [(3, 3), (3, 3), (3, 3)]),
        ((2, 1), (16, 32), [(1, 1), (1, 2), (2, 2), (2, 2)], [(1, 3), (3, 3), (3, 3), (3, 3)]),
        # never within a factor 2 before the bottleneck, which looks along all axes all the same
        ((8, 1, 1), (4, 16, 16), [(1, 1, 1), (1, 2, 2), (1, 2, 2)], [(1, 3, 3), (1, 3, 3), (3, 3, 3)]),
        # z is finer again than y and x once they are halved; its kernel stays 3
        (
            (1, 1, 1),
            (4, 32, 32),
            [(1, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2)],
            [(3, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)],
        ),
    ],
)
def test_strides_and_kernels(spacing_mm, size, strides, kernels):
    topology = network_topology(spacing_mm, size)
    assert list(topology.strides) == strides
    assert list(topology.kernels) == kernels


@given(
    st.integers(2, 3).flatmap(
        lambda axes: st.tuples(
            st.lists(st.floats(0.1, 20), min_size=axes, max_size=axes),
            st.lists(st.integers(1, 600), min_size=axes, max_size=axes),
        )
    )
)
@settings(max_examples=200, deadline=None)
def test_always_a_patch_that_its_network_divides(stage):
    spacing_mm, size = stage
    topology = network_topology(tuple(spacing_mm), size)
    for asked, patch, divisor in zip(size, topology.patch_size, topology.divisor, strict=True):
        assert patch % divisor == 0
        assert asked <= patch < asked + divisor
        assert divisor == 1 or patch // divisor >= 4


def test_reasons():
    parts = topology_parts(network_topology((5.0, 1.0, 1.0), (12, 128, 128)), (5.0, 1.0, 1.0))
    assert parts["network.strides"].reason == (
        "The patch of 12 × 128 × 128 voxels is halved 1, 5 and 5 times along its axes, so 6 × 4 × 4 voxels are left at "
        "the coarsest level. An axis is halved as long as it has 8 voxels or more (12 where it is halved alone) and "
        "they are less than twice as large as those of the finest such axis."
    )
    assert parts["network.kernels"].reason == (
        "At the 2 finest levels kernels do not reach across axes that are at least twice as coarse as the finest; from "
        "there on they take 3 voxels along every axis."
    )
    parts = topology_parts(network_topology((2.0, 1.0, 1.0), (64, 128, 128)), (2.0, 1.0, 1.0))
    assert parts["network.kernels"].reason.startswith("At the finest level kernels do not reach across axes")
