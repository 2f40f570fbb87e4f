"""One stage of a plan, every value of it with its reason.

Comes in: the grounds all stages share. Goes out: `Parts`, path within a stage → decision, and the
`Stage` they make up. A value enters a stage only as a part, so none lacks its reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from autoseg.fingerprint.model import Fingerprint
from autoseg.geometry import Spacing
from autoseg.plan.plan import Budget, Stage
from autoseg.planner.augmentation import augmentation
from autoseg.planner.axis_order import AxisOrder
from autoseg.planner.candidate import Candidate
from autoseg.planner.conventions import CONVENTIONS
from autoseg.planner.decided import Decided
from autoseg.planner.footprint import FEATURE_CAP, stage_features
from autoseg.planner.length import training_length
from autoseg.planner.loss import loss_terms
from autoseg.planner.lowres import low_resolution_pays
from autoseg.planner.machine import Machine
from autoseg.planner.memory import fit_batch, fit_patch
from autoseg.planner.mirroring import keeps_upright, mirror_axes
from autoseg.planner.normalisation import normalisation
from autoseg.planner.optimizer import optimizer
from autoseg.planner.time import fit_time
from autoseg.planner.topology import topology_parts

Parts = Mapping[str, Decided[Any]]


class Grounds(NamedTuple):
    """What every stage of a plan is derived from.

    Attributes:
        fingerprint, budget, machine: as given.
        order: which axis of the image becomes axis 0, 1, 2 of the array.
        spacing: voxel size after resampling, mm, along the array's three axes.
        median_shape: of the resampled images, along the array's three axes.
    """

    fingerprint: Fingerprint
    budget: Budget
    machine: Machine
    order: Decided[AxisOrder]
    spacing: Decided[Spacing]
    median_shape: tuple[float, ...]

    @property
    def outputs(self) -> int:
        """Channels of a head as nnU-Net counts them for memory: targets, background, ignore."""
        labels = self.fingerprint.dataset.labels
        return len(labels.targets) + 1 + (labels.ignore is not None)


def derive_parts(grounds: Grounds, dimensions: Literal[2, 3]) -> Parts:
    """Every value of a stage, with its reason.

    Args:
        grounds: what it is derived from.
        dimensions: 3, or 2 for a network that sees slices: the last two axes of the array.

    Raises:
        PlanError: the images or the memory are too small for a network.
    """
    spacing_mm, shape = grounds.spacing.value[-dimensions:], grounds.median_shape[-dimensions:]
    memory_gb, minutes = grounds.budget.memory_gb, grounds.budget.minutes
    z, y, x = grounds.median_shape
    patch = fit_patch(spacing_mm, shape, grounds.outputs, memory_gb)
    batch = fit_batch(patch.value, grounds.outputs, memory_gb, z * y * x * len(grounds.fingerprint.cases))
    planned = Candidate(patch.value, batch.value)

    lowres = dimensions == 3 and low_resolution_pays(
        spacing_mm, shape, planned.topology.patch_size, grounds.outputs, memory_gb
    )
    common: Parts = {
        **CONVENTIONS,
        **_dataset_parts(grounds, dimensions),
        "loss": loss_terms(dimensions, len(grounds.fingerprint.dataset.labels.regions), lowres),
    }
    sizes: Parts = {
        "sampling.patch_size": Decided(patch.value.patch_size, *patch[1:]),
        "sampling.batch_size": batch,
        "network.features": _features(planned),
    }
    if minutes is None:
        return {**common, **sizes, **_fitted_parts(planned, None, grounds)}

    def seconds_per_iteration(rung: Candidate) -> float:
        stage = build_stage({**common, **_revised(sizes, rung, None), **_fitted_parts(rung, None, grounds)})
        return grounds.machine.seconds_per_iteration(stage, grounds.fingerprint.dataset)

    pace = fit_time(planned, spacing_mm, grounds.outputs, minutes, seconds_per_iteration)
    return {
        **common,
        **_revised(sizes, pace.value.candidate, pace),
        **_fitted_parts(pace.value.candidate, pace.value.seconds_per_iteration, grounds),
    }


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


def _dataset_parts(grounds: Grounds, dimensions: Literal[2, 3]) -> Parts:
    """What the dataset alone decides, whatever the memory and the time."""
    fingerprint, slices = grounds.fingerprint, grounds.median_shape[0]
    sees = {
        2: "The network sees one slice at a time: it is fast, and strong where slices are thick.",
        3: f"The median image has {slices:.0f} slices, so a network can learn from volumes.",
    }
    kept = fingerprint.median_relative_size
    precision = grounds.machine.precision
    return {
        "dimensions": Decided(dimensions, "dimensions", {"median_shape": grounds.median_shape}, sees[dimensions]),
        "preprocessing.crop_to_nonzero": Decided(
            True,
            "crop_to_nonzero",
            {"median_relative_size": kept},
            f"Borders in which every channel is 0 tell nothing. Without them {100 * kept:.0f} % of an image is left.",
        ),
        "preprocessing.axis_order": grounds.order,
        "preprocessing.spacing_mm": grounds.spacing._replace(value=grounds.spacing.value[-dimensions:]),
        "preprocessing.normalisation": normalisation(fingerprint.dataset.channels, fingerprint.intensities, kept),
        "training.precision": Decided(
            precision, "machine", {"device": grounds.budget.device}, f"This machine trains fastest in {precision}."
        ),
    }


def _fitted_parts(candidate: Candidate, seconds_per_iteration: float | None, grounds: Grounds) -> Parts:
    """What follows from the candidate and its pace: the network's shape, the training's length and manner.

    Args:
        candidate: patch, batch and width.
        seconds_per_iteration: as measured; None trains as long as if there were no time limit.
        grounds: what the stage is derived from.
    """
    topology, facts = candidate.topology, grounds.fingerprint
    dimensions = len(topology.patch_size)
    length = training_length(grounds.budget.minutes if seconds_per_iteration else None, seconds_per_iteration)
    iterations = length["training.epochs"].value * length["training.iterations_per_epoch"].value
    orientations = [case.orientation for case in facts.cases]
    upright = keeps_upright(iterations, orientations)
    axes = mirror_axes(dimensions, facts.dataset.labels.targets, orientations, grounds.order.value, upright)
    return {
        **topology_parts(topology, grounds.spacing.value[-dimensions:]),
        **length,
        "optimizer": optimizer(iterations),
        "augmentation": augmentation(topology.patch_size, axes.value, upright),
        "inference.mirror_axes": axes,
    }


def _features(candidate: Candidate) -> Decided[tuple[int, ...]]:
    first, cap = candidate.first_features, FEATURE_CAP[len(candidate.topology.patch_size)]
    reason = f"{first} channels at full resolution, doubled at every stage up to {cap}."
    value = stage_features(candidate.topology, first)
    return Decided(value, "stage_features", {"first": first, "cap": cap}, reason)


def _revised(sizes: Parts, candidate: Candidate, by_time: Decided[Any] | None) -> Parts:
    """Patch, batch and features of a candidate; where the time changed them, with that reason."""
    values = {
        "sampling.patch_size": candidate.topology.patch_size,
        "sampling.batch_size": candidate.batch_size,
        "network.features": stage_features(candidate.topology, candidate.first_features),
    }
    return {
        path: planned if planned.value == values[path] else (by_time or planned)._replace(value=values[path])
        for path, planned in sizes.items()
    }
