"""Fingerprints and machines to plan for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest

from autoseg.dataset.description import Description
from autoseg.dataset.labels import Labels
from autoseg.fingerprint.model import CaseFacts, Fingerprint, Intensities
from autoseg.plan.plan import Stage
from autoseg.planner.machine import Machine

MakeFingerprint = Callable[..., Fingerprint]


def fingerprint(
    spacings_mm: Sequence[Sequence[float]],
    shapes: Sequence[Sequence[int]],
    channels: Sequence[str] = ("T1",),
    labels: Labels | None = None,
    dimensions: int = 3,
    relative_size: float = 1.0,
    orientation: str | None = "LPS",
) -> Fingerprint:
    """A fingerprint of cases that are told apart by spacing and shape only."""
    return Fingerprint(
        dataset=Description(
            name="invented",
            channels=tuple(channels),
            labels=labels or Labels(values={"background": 0, "anterior": 1, "posterior": 2}),
            dimensions=dimensions,
        ),
        cases=tuple(
            CaseFacts(
                name=f"case_{place:03d}",
                shape=tuple(shape),
                spacing_mm=tuple(spacing),
                shape_after_crop=tuple(shape),
                relative_size=relative_size,
                orientation=orientation,
            )
            for place, (spacing, shape) in enumerate(zip(spacings_mm, shapes, strict=True))
        ),
        intensities=tuple(
            Intensities(
                mean=100.0,
                median=100.0,
                std=77.0,
                min=-1000.0,
                max=3000.0,
                percentile_00_5=-79.0,
                percentile_99_5=304.0,
            )
            for _ in channels
        ),
        median_relative_size=relative_size,
        labels={},
    )


@pytest.fixture
def make_fingerprint() -> MakeFingerprint:
    return fingerprint


@pytest.fixture
def hippocampus() -> Fingerprint:
    """As many cases, and as large, as in the Decathlon's hippocampus."""
    return fingerprint([(1.0, 1.0, 1.0)] * 260, [(36, 50, 35)] * 260)


def training_bytes(stage: Stage, description: object) -> int:
    """A rule of thumb: half a gigabyte, and 20 numbers of 4 bytes for each feature of a voxel, at every stage."""
    voxels, features = float(math.prod(stage.sampling.patch_size)), 0.0
    for width, stride in zip(stage.network.features, stage.network.strides, strict=True):
        voxels /= math.prod(stride)
        features += width * voxels
    return int(5e8 + 80 * stage.sampling.batch_size * features)


def inference_bytes(stage: object, description: object, shape: Sequence[int]) -> int:
    """As many numbers as voxels."""
    return 4 * math.prod(shape)


@pytest.fixture
def make_machine() -> Callable[..., Machine]:
    """A machine whose speed is a function, and whose memory is reckoned."""

    def make(seconds_per_iteration: Callable[[Stage, Description], float], precision: str = "bfloat16") -> Machine:
        return Machine(precision, seconds_per_iteration, training_bytes, inference_bytes, margin=0.1)

    return make


@pytest.fixture
def unasked(make_machine: Callable[..., Machine]) -> Machine:
    """A machine that must not be asked how fast it is."""

    def never(stage: object, description: object) -> float:
        raise AssertionError("the machine was measured although no time limit is set")

    return make_machine(never, "float32")
