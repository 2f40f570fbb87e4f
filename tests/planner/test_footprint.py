"""Feature map voxels: nnU-Net's published references, and a network small enough to count."""

from __future__ import annotations

import pytest

from autoseg.planner.architecture import RESIDUAL
from autoseg.planner.footprint import feature_map_voxels, stage_features
from autoseg.planner.topology import network_topology


@pytest.mark.parametrize(
    ("size", "outputs", "millions"),
    [((128, 128, 128), 3, 452.8), ((512, 512), 3, 82.8)],
)
def test_references(size, outputs, millions):
    topology = network_topology((1.0,) * len(size), size)
    assert feature_map_voxels(topology, outputs) / 1e6 == pytest.approx(millions, abs=0.1)


@pytest.mark.parametrize(
    ("size", "stages", "voxels", "coarser_heads"),
    [
        ((128, 128, 128), 6, 558_319_104, 64**3 + 32**3 + 16**3 + 8**3),
        ((512, 512), 7, 129_793_792, 256**2 + 128**2 + 64**2 + 32**2 + 16**2),
    ],
)
def test_residual_references(size, stages, voxels, coarser_heads):
    """The figures are printed by nnU-Net's resencUNet_planner.py, for networks with a head at every decoder stage."""
    topology = network_topology((1.0,) * len(size), size)
    shallow = topology._replace(strides=topology.strides[:stages], kernels=topology.kernels[:stages])
    assert feature_map_voxels(shallow, 3, architecture=RESIDUAL) == voxels - 3 * coarser_heads


def test_a_residual_network_counted_by_hand():
    topology = network_topology((1.0, 1.0), (8, 8))
    stem, first_block = 32 * 64, 2 * 32 * 64
    # three blocks of two convolutions, and one beside the first block that takes 32 channels to 64
    second_stage = (3 * 2 + 1) * 64 * 16
    decoder = 32 * 64 + 32 * 64  # transposed convolution, convolution
    expected = stem + first_block + second_stage + decoder + 3 * 64
    assert feature_map_voxels(topology, outputs=3, architecture=RESIDUAL) == expected


def test_counted_by_hand():
    topology = network_topology((1.0, 1.0), (8, 8))
    assert len(topology.strides) == 2
    encoder = 2 * 32 * 64 + 2 * 64 * 16
    decoder = 32 * 64 + 2 * 32 * 64  # transposed convolution, two convolutions
    assert feature_map_voxels(topology, outputs=3) == encoder + decoder + 3 * 64


@pytest.mark.parametrize(
    ("size", "first", "expected"),
    [
        ((256, 256), 32, (32, 64, 128, 256, 512, 512, 512)),
        ((64, 64, 64), 32, (32, 64, 128, 256, 320)),
        ((64, 64, 64), 24, (24, 48, 96, 192, 240)),
        ((64, 64, 64), 8, (8, 16, 32, 64, 80)),
    ],
)
def test_features(size, first, expected):
    assert stage_features(network_topology((1.0,) * len(size), size), first) == expected
