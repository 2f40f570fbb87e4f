"""The values of a stage, each with its reason.

Comes in: the grounds all stages share, the images as one stage sees them, and a candidate. Goes out:
`Parts`, path within a stage → decision, and the `Stage` they make up. A value enters a stage only as a
part, so none lacks its reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from autoseg.fingerprint.model import CaseFacts, Fingerprint
from autoseg.geometry import Spacing
from autoseg.phrases import percent
from autoseg.plan.plan import Budget, Stage
from autoseg.plan.preprocessing import Normalisation
from autoseg.planner.architecture import architecture_parts
from autoseg.planner.augmentation import augmentation
from autoseg.planner.axis_order import AxisOrder
from autoseg.planner.candidate import Candidate
from autoseg.planner.conventions import CONVENTIONS
from autoseg.planner.decided import Decided
from autoseg.planner.footprint import feature_cap, stage_features
from autoseg.planner.length import is_short, iterations_done, training_length
from autoseg.planner.loss import loss_terms
from autoseg.planner.machine import Machine
from autoseg.planner.mirroring import keeps_upright, left_right_pairs, mirror_axes
from autoseg.planner.normalisation import argued_normalisation, normalisation
from autoseg.planner.optimizer import optimizer
from autoseg.planner.presets import Dimensions, Preset, network_kind
from autoseg.planner.sampling import foreground_sampling
from autoseg.planner.topology import Topology, topology_parts
from autoseg.planner.traced_memory import Traces

Parts = Mapping[str, Decided[Any]]


class Grounds(NamedTuple):
    """What every stage of a plan is derived from.

    Attributes:
        fingerprint, budget, machine, preset: as given.
        orientation: all images are turned to; None leaves them as they are stored.
        cases: their grids, turned.
        order: which axis of the turned image becomes axis 0, 1, 2 of the array.
        spacing: voxel size after resampling, mm, along the array's three axes.
        median_shape: of the resampled images, along the array's three axes.
        traces: of networks, by dimensions, width and the stage they refine; filled as they are made.
    """

    fingerprint: Fingerprint
    budget: Budget
    machine: Machine
    preset: Preset
    orientation: Decided[str | None]
    cases: tuple[CaseFacts, ...]
    order: Decided[AxisOrder]
    spacing: Decided[Spacing]
    median_shape: tuple[float, ...]
    traces: dict[tuple[int, int, str | None], Traces]

    @property
    def outputs(self) -> int:
        """Channels of a head as nnU-Net counts them for memory: targets, background, ignore."""
        labels = self.fingerprint.dataset.labels
        return len(labels.targets) + 1 + (labels.ignore is not None)


class StageImages(NamedTuple):
    """The images as one stage sees them.

    Attributes:
        spacing: voxel size after resampling, mm, along the stage's 2 or 3 axes.
        median_shape: voxels of the median image along them.
        image_voxels: of the median image, all its slices.
        low_resolution: there is a stage at a lower resolution, because patches of this one see little.
        refines: the stage whose prediction is seen besides the image, if any.
    """

    spacing: Decided[Spacing]
    median_shape: tuple[float, ...]
    image_voxels: float
    low_resolution: bool = False
    refines: str | None = None

    @property
    def dimensions(self) -> Dimensions:
        """Of the stage."""
        return 2 if len(self.median_shape) == 2 else 3


def build_stage(parts: Parts) -> Stage:
    """The stage that parts make up."""
    tree: dict[str, Any] = {}
    for path, decided in parts.items():
        *branches, leaf = path.split(".")
        node = tree
        for branch in branches:
            node = node.setdefault(branch, {})
        node[leaf] = decided.value
    return Stage.model_validate(tree)


def common_parts(grounds: Grounds, images: StageImages) -> Parts:
    """What is decided by conventions and by the dataset alone, whatever the memory and the time."""
    fingerprint, slices = grounds.fingerprint, grounds.median_shape[0]
    sees = {
        2: "The network sees one slice at a time: it is fast, and suits thick slices."
        if fingerprint.dataset.dimensions == 3
        else "The images are 2-D.",
        3: f"The median image has {slices:.0f} slices, so a network can learn from volumes.",
    }
    kept = fingerprint.median_relative_size
    left = f"Without them {percent(kept)} of the median image is left."
    unknown = "How much of an image is left without them was not measured, for there are no images."
    precision, regions = grounds.machine.precision, len(fingerprint.dataset.labels.regions)
    return {
        **(CONVENTIONS if images.refines is None else _refining(images.refines)),
        "dimensions": Decided(
            images.dimensions, "dimensions", {"median_shape": grounds.median_shape}, sees[images.dimensions]
        ),
        "preprocessing.crop_to_nonzero": Decided(
            True,
            "crop_to_nonzero",
            {"median_relative_size": kept},
            "Borders in which every channel is 0 tell nothing, so they are cut off. "
            f"{left if fingerprint.has_images else unknown}",
        ),
        "preprocessing.axis_order": grounds.order,
        "preprocessing.spacing_mm": images.spacing,
        "preprocessing.orientation": grounds.orientation,
        "preprocessing.normalisation": _normalised(grounds),
        "loss": loss_terms(images.dimensions, regions, images.low_resolution),
        "training.precision": Decided(
            precision,
            "machine",
            {"device": grounds.budget.device},
            f"Of the number types that networks train well in, {precision} is the fastest on {grounds.budget.device}.",
        ),
        **({} if grounds.preset.as_nnunet else {"sampling.foreground": foreground_sampling(fingerprint.labels)}),
    }


def _normalised(grounds: Grounds) -> Decided[tuple[Normalisation, ...]]:
    fingerprint = grounds.fingerprint
    if not grounds.preset.as_nnunet:
        return argued_normalisation(fingerprint)
    kept = fingerprint.median_relative_size
    return normalisation(fingerprint.dataset.channels, fingerprint.intensities, kept)


def _refining(stage: str) -> Parts:
    """The conventions for a stage that sees what another one predicted."""
    reason = (
        f"Besides the image the network sees what {stage} predicted for it: where a patch at full resolution shows "
        "little of the surroundings, that one has seen more."
    )
    channels = "Each predicted label becomes a channel beside those of the image."
    whole = "All of the image is seen, so what was missed there can be found here."
    unmasked = "Intensities outside of what was predicted stay: the surroundings help to tell what is seen."
    return {
        **{path: decided for path, decided in CONVENTIONS.items() if path != "previous"},
        "previous.stage": Decided(stage, "low_resolution", {}, reason),
        "previous.as_channels": Decided(True, "conventions", {}, channels),
        "previous.crop": Decided(None, "conventions", {}, whole),
        "previous.mask": Decided(None, "conventions", {}, unmasked),
    }


def fitted_parts(
    candidate: Candidate, seconds_per_iteration: float | None, grounds: Grounds, images: StageImages
) -> Parts:
    """What follows from the candidate and its pace: the network's shape, the training's length and manner.

    Args:
        candidate: patch, batch and width.
        seconds_per_iteration: as measured; None trains as long as if there were no time limit.
        grounds: what all stages are derived from.
        images: as this one sees them.
    """
    topology, preset = candidate.topology, grounds.preset
    length = training_length(grounds.budget.minutes if seconds_per_iteration else None, seconds_per_iteration)
    iterations: float = length["training.epochs"].value * length["training.iterations_per_epoch"].value
    if grounds.budget.minutes is not None and seconds_per_iteration:
        iterations = iterations_done(grounds.budget.minutes, seconds_per_iteration)  # not cut into whole epochs
    orientations = [case.orientation for case in grounds.cases]
    targets = grounds.fingerprint.dataset.labels.targets
    short = not preset.as_nnunet and is_short(iterations)
    upright = not preset.as_nnunet and keeps_upright(iterations, orientations)
    if preset.as_nnunet:
        axes = _every_axis(images.dimensions, left_right_pairs(targets))
    else:
        axes = mirror_axes(images.dimensions, targets, orientations, grounds.order.value, upright)
    return {
        **topology_parts(topology, images.spacing.value),
        "network.kind": network_kind(preset, grounds.budget.minutes),
        **architecture_parts(preset.architecture, len(topology.strides)),
        **length,
        "optimizer": optimizer(iterations, preset.as_nnunet),
        "augmentation": augmentation(
            topology.patch_size, axes.value, upright, short, _normalised(grounds).value, images.refines is not None
        ),
        "inference.mirror_axes": axes,
    }


def _every_axis(dimensions: Dimensions, pairs: list[tuple[str, str]]) -> Decided[tuple[int, ...]]:
    """nnU-Net's mirroring."""
    alternative = (
        f"Preset standard does not mirror from left to right: '{pairs[0][0]}' and '{pairs[0][1]}' differ only in side."
        if pairs
        else ""
    )
    reason = "nnU-Net mirrors along every axis, whatever the labels."
    return Decided(tuple(range(dimensions)), "mirror_axes", {"left_right_pairs": pairs}, reason, alternative)


def size_parts(candidate: Candidate, patch: Decided[Topology], batch: Decided[int], wider: str = "") -> Parts:
    """Patch, batch and features of a candidate, with the reasons of the memory, and what more features had meant."""
    return {
        "sampling.patch_size": Decided(candidate.topology.patch_size, *patch[1:]),
        "sampling.batch_size": batch._replace(value=candidate.batch_size),
        "network.features": _features(candidate)._replace(alternative=wider),
    }


def _features(candidate: Candidate) -> Decided[tuple[int, ...]]:
    first = candidate.first_features
    cap = feature_cap(len(candidate.topology.patch_size), first)
    reason = f"{first} channels at full resolution, doubled from level to level, up to {cap}."
    value = stage_features(candidate.topology, first)
    return Decided(value, "stage_features", {"first": first, "cap": cap}, reason)


def revised(sizes: Parts, candidate: Candidate, by_time: Decided[Any] | None) -> Parts:
    """Patch, batch and features of a candidate; where the time changed them, with that reason.

    What it left as it was has the reason of the memory, which was found for the planned features.
    """
    values = {
        "sampling.patch_size": candidate.topology.patch_size,
        "sampling.batch_size": candidate.batch_size,
        "network.features": stage_features(candidate.topology, candidate.first_features),
    }
    planned_features = sizes["network.features"].value
    first, last = planned_features[0], planned_features[-1]
    narrower = f" This was found for {first}→{last} features; with fewer, as the time demands, it needs less memory."
    unlike = by_time is not None and values["network.features"] != planned_features
    return {
        path: planned._replace(reason=planned.reason + narrower * unlike)
        if planned.value == values[path]
        else (by_time or planned)._replace(value=values[path])
        for path, planned in sizes.items()
    }
