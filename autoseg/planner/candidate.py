"""What memory and time decide together: one way of spending a budget."""

from __future__ import annotations

from typing import NamedTuple

from autoseg.phrases import by
from autoseg.planner.footprint import FIRST_FEATURES, feature_map_voxels, stage_features
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
        """As people read it, the features from the finest level to the coarsest.

        >>> str(Candidate(Topology((64, 48), ((1, 1), (2, 2)), ((3, 3), (3, 3))), 4, 16))
        '16→32 features, batches of 4, patches of 64 × 48'
        """
        features = stage_features(self.topology, self.first_features)
        patch = by(self.topology.patch_size)
        return f"{features[0]}→{features[-1]} features, batches of {self.batch_size}, patches of {patch}"
