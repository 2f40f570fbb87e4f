"""What memory and time decide together: one way of spending a budget."""

from __future__ import annotations

from typing import NamedTuple

from autoseg.planner.decided import by
from autoseg.planner.footprint import FIRST_FEATURES, feature_map_voxels
from autoseg.planner.topology import Topology


class Candidate(NamedTuple):
    """A network with its patch and batch.

    Attributes:
        topology: patch, strides and kernels.
        batch_size: patches an iteration.
        first_features: channels of the first stage; the others follow from it.
    """

    topology: Topology
    batch_size: int
    first_features: int = FIRST_FEATURES

    def cost(self, outputs: int) -> float:
        """Feature map voxels of one iteration: compares how long iterations take, roughly."""
        return float(self.batch_size * feature_map_voxels(self.topology, outputs, self.first_features))

    def __str__(self) -> str:
        """As people read it.

        >>> str(Candidate(Topology((64, 48), ((1, 1),), ((3, 3),)), 4, 16))
        '16 first features, batches of 4, patches of 64 × 48'
        """
        patch = by(self.topology.patch_size)
        return f"{self.first_features} first features, batches of {self.batch_size}, patches of {patch}"
