"""Patch, batch and width that the memory allows.

Comes in: the grounds all stages share, and the images as one stage sees them. Goes out: a candidate, with
the reasons for its patch, its batch and its width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

from autoseg.memory import GIGABYTE
from autoseg.phrases import by, number, percent
from autoseg.planner.candidate import Candidate
from autoseg.planner.decided import Decided
from autoseg.planner.filling import fill_memory
from autoseg.planner.footprint import FIRST_FEATURES, feature_map_voxels, weights
from autoseg.planner.memory import Memory, TooLittleMemory, fit_batch, fit_patch
from autoseg.planner.parts import Grounds, StageImages, build_stage, common_parts, fitted_parts, size_parts
from autoseg.planner.topology import Topology
from autoseg.planner.traced_memory import Extent, Traces, traced_memory
from autoseg.planner.trimming import trim_patch

NARROWER = (16, 8)  # first features to fall back to where the memory is too small for a sensible patch
SENSIBLE_SHARE = 0.25  # of the median image, that a patch sees,
SENSIBLE_VOXELS = {2: 128**2, 3: 64**3}  # or so many voxels; with less, a narrower network is the better choice
MOST_SEARCHES = 6  # for a network that was traced, mostly 2 are enough; after that, the next that fits will do

Found = TypeVar("Found")


class Sizes(NamedTuple):
    """A candidate, with the reasons for its patch and its batch.

    Attributes:
        candidate: patch, batch and width.
        patch, batch: why.
        wider: what a wider network would have meant; empty where the width was no question.
    """

    candidate: Candidate
    patch: Decided[Topology]
    batch: Decided[int]
    wider: str = ""


def find_sizes(grounds: Grounds, images: StageImages) -> Sizes:
    """The best network that fits the memory, by the preset's measure.

    With an nnU-Net preset: its width, the largest patch that fits, as many as fit. With `standard`: the widest
    network of which a sensible patch fits, then patch and batch that fill the memory.

    Args:
        grounds: what all stages are derived from.
        images: as this one sees them.

    Raises:
        PlanError: the images are too small for a network.
        TooLittleMemory: the memory is.
    """
    if grounds.preset.as_nnunet:
        return _search(grounds, images, FIRST_FEATURES)
    wider = ""
    for width in (FIRST_FEATURES, *NARROWER[:-1]):
        try:
            found = _settled(grounds, images, width)
        except TooLittleMemory:
            gigabytes = number(grounds.budget.memory_gb)
            wider = f"With {width} channels there, not even the smallest patch fits {gigabytes} GB."
            continue
        voxels, image = math.prod(found.patch.value.patch_size), math.prod(images.median_shape)
        if voxels >= min(SENSIBLE_VOXELS[images.dimensions], SENSIBLE_SHARE * image):
            return found._replace(wider=wider)
        seen = f"{by(found.patch.value.patch_size)} voxels, {percent(voxels / image)} of the image"
        wider = f"With {width} channels there, patches of {seen}, would fit."
    return _settled(grounds, images, NARROWER[-1])._replace(wider=wider)


def fits(grounds: Grounds, images: StageImages, candidate: Candidate) -> bool:
    """Whether a candidate made for other images fits the memory with these, too; nnU-Net does not ask."""
    if grounds.preset.as_nnunet:
        return True
    needed = _traces(grounds, images, candidate.first_features).trace(candidate.topology, candidate.batch_size)
    return needed <= grounds.budget.memory_gb * GIGABYTE


def search_memory(grounds: Grounds, images: StageImages, width: int, search: Callable[[Memory], Found]) -> Found:
    """What a search finds that asks for what fits; before it gives up, the network it gives up on is traced.

    Args:
        grounds: what all stages are derived from.
        images: as this one sees them.
        width: first features of the networks; nnU-Net's measure knows one only.
        search: from what fits.

    Raises:
        TooLittleMemory: as the search; what it says is needed is no estimate.
    """
    preset, gigabytes = grounds.preset, grounds.budget.memory_gb
    if preset.as_nnunet:
        return search(preset.memory(images.dimensions, grounds.outputs, gigabytes))
    traces = _traces(grounds, images, width)
    memory = traced_memory(traces, gigabytes, preset.least_batch[images.dimensions], preset.largest_share)
    while True:
        try:
            return search(memory)
        except TooLittleMemory as problem:
            if traces.knows(problem.topology, problem.batch_size):
                raise
            traces.trace(problem.topology, problem.batch_size)


def some_seconds(grounds: Grounds) -> float | None:
    """A pace for candidates that are not timed yet: any will do that gives them the optimiser of short trainings."""
    return None if grounds.budget.minutes is None else 60 * grounds.budget.minutes


def _settled(grounds: Grounds, images: StageImages, width: int) -> Sizes:
    """Searches, traces what was found, and searches again, until what is found was traced."""
    traces, searches = _traces(grounds, images, width), 0
    while True:
        found = _search(grounds, images, width)
        searches += 1
        topology, batch_size, _ = found.candidate
        if traces.knows(topology, batch_size):
            return found
        needed = traces.trace(topology, batch_size)
        if searches >= MOST_SEARCHES and needed <= grounds.budget.memory_gb * GIGABYTE:
            return found


def _search(grounds: Grounds, images: StageImages, width: int) -> Sizes:
    patch, batch = search_memory(grounds, images, width, partial(_patch_and_batch, grounds, images))
    return Sizes(Candidate(patch.value, batch.value, width), patch, batch)


def _patch_and_batch(grounds: Grounds, images: StageImages, memory: Memory) -> tuple[Decided[Topology], Decided[int]]:
    dataset_voxels = images.image_voxels * len(grounds.cases)
    patch = fit_patch(images.spacing.value, images.median_shape, memory)
    if not grounds.preset.as_nnunet and grounds.budget.minutes is not None:
        patch = trim_patch(patch, images.spacing.value, images.median_shape)
    elif not grounds.preset.as_nnunet:
        filled = fill_memory(patch.value, images.spacing.value, images.median_shape, memory, dataset_voxels)
        if filled.topology != patch.value:
            patch = _refitted(patch, filled.topology, memory, fit_batch(patch.value, memory, dataset_voxels).value)
    return patch, fit_batch(patch.value, memory, dataset_voxels)


def _refitted(patch: Decided[Topology], filled: Topology, memory: Memory, batch_size: int) -> Decided[Topology]:
    """The patch that fills the memory, instead of the largest of a search with its batch."""
    largest = patch.value
    reason = (
        f"{patch.reason} With whole batches it would leave more than a tenth of the memory unused; "
        f"{by(filled.patch_size)} voxels, about as many, fill it better."
    )
    alternative = (
        f"{batch_size} patches of {by(largest.patch_size)} would need {memory.compared(largest, batch_size)}; one more "
        "would be too many."
    )
    facts: dict[str, Any] = {**patch.facts, "largest_patch": largest.patch_size}
    return Decided(filled, "fill_memory", facts, reason, alternative)


def _traces(grounds: Grounds, images: StageImages, width: int) -> Traces:
    """The traces of networks of these dimensions, width and channels; stages share them."""
    key = (images.dimensions, width, images.refines)
    if key not in grounds.traces:
        common = common_parts(grounds, images)

        def trace_step(topology: Topology, batch_size: int) -> int:
            candidate = Candidate(topology, batch_size, width)
            sizes = size_parts(candidate, Decided(topology, "", {}, ""), Decided(batch_size, "", {}, ""))
            stage = build_stage({**common, **sizes, **fitted_parts(candidate, some_seconds(grounds), grounds, images)})
            return grounds.machine.training_bytes(stage, grounds.fingerprint.dataset)

        def extent(topology: Topology) -> Extent:
            architecture = grounds.preset.architecture
            feature_voxels = feature_map_voxels(topology, grounds.outputs, width, architecture)
            return Extent(weights(topology, width, architecture), feature_voxels)

        grounds.traces[key] = Traces(trace_step, extent, grounds.machine.margin)
    return grounds.traces[key]
