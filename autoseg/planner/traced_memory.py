"""What fits a memory, from what training steps are predicted to need.

Comes in: a function that predicts the peak of a training step, in bytes. Goes out: a `Memory`.

A prediction takes about a second, and a search asks for hundreds of networks. So only the first network it
asks for is traced, with two batches: what a step needs is close to a line, some bytes for the weights and
some for each voxel. Others are taken to need as much more as they have more weights and feature maps. What
a search finds is traced with its batch, which corrects the line, and searched for again (`sizes.py`), until
it is one that was traced: so a plan's memory is never only estimated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import cache
from typing import NamedTuple

from autoseg.memory import GIGABYTE
from autoseg.planner.memory import Memory
from autoseg.planner.topology import Topology

FIRST_BATCHES = {2: (12, 48), 3: (2, 8)}  # by dimensions: so far apart that feature maps make the difference
LEAST = 1.25  # times the fixed part is needed in any case: by the optimiser, when all gradients are there
LEAST_PER_VOXEL = 4.0  # bytes: the image's own

TraceStep = Callable[[Topology, int], int]  # a topology and a batch size → bytes at the peak of a training step


class Point(NamedTuple):
    """What a step on so many voxels was predicted to need."""

    voxels: float
    bytes: float


class Line(NamedTuple):
    """Bytes of a network's training step, by the voxels of the batch.

    >>> Line.through(Point(1000, 5e6), Point(2000, 9e6))
    Line(fixed=1000000.0, per_voxel=4000.0)
    """

    fixed: float
    per_voxel: float

    @staticmethod
    def through(one: Point, other: Point) -> Line:
        """The line through two points, the other the larger; never so flat that voxels cost nothing."""
        slope = max((other.bytes - one.bytes) / (other.voxels - one.voxels), LEAST_PER_VOXEL)
        return Line(other.bytes - slope * other.voxels, slope)

    def at(self, voxels: float) -> float:
        """Bytes for so many voxels."""
        return max(self.fixed + self.per_voxel * voxels, LEAST * self.fixed)


class Extent(NamedTuple):
    """How large a network is.

    Attributes:
        weights: how many.
        feature_voxels: channels × voxels of its feature maps, for one patch.
    """

    weights: float
    feature_voxels: float


class Traces:
    """What the networks traced so far need, all of one width and kind."""

    def __init__(self, trace_step: TraceStep, extent: Callable[[Topology], Extent], margin: float) -> None:
        """Nothing is traced yet.

        Args:
            trace_step: bytes at the peak of a training step, as tensors hold them.
            extent: of a network of this width and kind.
            margin: share of those bytes that comes on top, for what no trace sees, 0…1.
        """
        self._trace_step, self._extent, self._margin = trace_step, cache(extent), margin
        self._traced: dict[Topology, dict[int, float]] = {}

    def knows(self, topology: Topology, batch_size: int) -> bool:
        """Whether this very step was traced."""
        return batch_size in self._traced.get(topology, {})

    def trace(self, topology: Topology, batch_size: int) -> float:
        """Bytes of this very step, margin included; none is traced twice."""
        known = self._traced.setdefault(topology, {})
        if batch_size not in known:
            known[batch_size] = (1 + self._margin) * self._trace_step(topology, batch_size)
        return known[batch_size]

    def line(self, topology: Topology, memory: float) -> Line:
        """What a network needs by its batch: by its own traces, or in proportion to those of the nearest in size.

        Args:
            topology: of the network.
            memory: bytes; the line is to hold near them.
        """
        if not any(len(known) > 1 for known in self._traced.values()):
            for size in FIRST_BATCHES[len(topology.patch_size)]:
                self.trace(topology, size)
        voxels = math.prod(topology.patch_size)
        points = [Point(size * voxels, needed) for size, needed in sorted(self._traced.get(topology, {}).items())]
        if not points:
            return self._alike(topology, self._traced, memory)
        if len(points) == 1:
            alike = self._alike(topology, [other for other, known in self._traced.items() if len(known) > 1], memory)
            return Line(points[0].bytes - alike.per_voxel * points[0].voxels, alike.per_voxel)
        return Line.through(*_nearest(points, memory))

    def patches_that_fit(self, topology: Topology, memory: float) -> int:
        """How many patches of a network need so many bytes at most: by its line, and never against what was traced."""
        line, one = self.line(topology, memory), math.prod(topology.patch_size)
        traced = self._traced.get(topology, {})
        fits = max((size for size, needed in traced.items() if needed <= memory), default=0)
        too_many = min((size for size, needed in traced.items() if needed > memory), default=math.inf)
        if not fits and line.at(one) > memory:
            return 0
        return int(min(max((memory - line.fixed) // (line.per_voxel * one), fits), too_many - 1))

    def _alike(self, topology: Topology, traced: Iterable[Topology], memory: float) -> Line:
        """The line of the nearest in size of some networks, in proportion."""
        extent = self._extent(topology)
        known = min(traced, key=lambda other: abs(math.log(self._extent(other).feature_voxels / extent.feature_voxels)))
        line, other = self.line(known, memory), self._extent(known)
        voxels = math.prod(topology.patch_size) / math.prod(known.patch_size)
        return Line(
            max(line.fixed, 0.0) * extent.weights / other.weights,
            line.per_voxel * extent.feature_voxels / other.feature_voxels / voxels,
        )


def traced_memory(traces: Traces, memory_gb: float, least_batch: int, largest_share: float) -> Memory:
    """What fits, by prediction of the whole step.

    Args:
        traces: of the networks, made as they are needed.
        memory_gb: for training.
        least_batch: patches that must fit.
        largest_share: of the dataset's voxels in one batch, 0…1.
    """
    memory = memory_gb * GIGABYTE

    def patches_that_fit(topology: Topology) -> float:
        return traces.patches_that_fit(topology, memory)

    def needed_gb(topology: Topology, batch_size: int) -> float:
        if traces.knows(topology, batch_size):
            return traces.trace(topology, batch_size) / GIGABYTE
        return traces.line(topology, memory).at(batch_size * math.prod(topology.patch_size)) / GIGABYTE

    return Memory(memory_gb, patches_that_fit, needed_gb, least_batch, largest_share)


def _nearest(points: list[Point], memory: float) -> tuple[Point, Point]:
    """The two points between which the memory lies, or that are nearest to it; in the order of their voxels."""
    within = sum(point.bytes <= memory for point in points)  # the first ones: more voxels never need less
    place = min(max(within, 1), len(points) - 1)
    return points[place - 1], points[place]
