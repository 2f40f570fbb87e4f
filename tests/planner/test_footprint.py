"""Feature map voxels: nnU-Net's published references, and a network small enough to count."""

from __future__ import annotations

import pytest

from autoseg.planner.footprint import feature_map_voxels, stage_features
from autoseg.planner.topology import network_topology


@pytest.mark.parametrize(
    ("size", "outputs", "millions"),
    [((128, 128, 128), 3, 452.8), ((512, 512), 3, 82.8)],
)
def test_references(size, outputs, millions):
    topology = network_topology((1.0,) * len(size), size)
    assert feature_map_voxels(topology, outputs) / 1e6 == pytest.approx(millions, abs=0.1)


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
