"""The machine a plan is made for: what it is asked, and what it was found to do.

Comes in: a budget. Goes out: a `Machine` that predicts memory and times training steps, on this
machine; or, for another one, takes its speed from what was recorded there.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence

import torch

from autoseg.dataset import Description
from autoseg.errors import AutosegError
from autoseg.inference.memory import inference_bytes
from autoseg.inference.model import describe_machine
from autoseg.networks.devices import best_precision, resolve_device
from autoseg.plan import Budget, Precision, Stage, Timing
from autoseg.planner import Machine
from autoseg.training import MEMORY_MARGIN, seconds_per_iteration, training_bytes

logger = logging.getLogger(__name__)


class Stopwatch:
    """Times training steps, none of them twice.

    Attributes:
        machine: that is timed; empty as long as none is.
        timings: that were asked for, in their order, among them those in proportion to the budget's. With them a
            plan can be derived again to the byte.
    """

    def __init__(self, budget: Budget, device: torch.device | None, recorded: Sequence[Timing] = ()) -> None:
        """Starts from what is known.

        Args:
            budget: if it has timings, nothing is timed: they say how fast the machine is.
            device: of this machine; None where it does not have the budget's.
            recorded: earlier timings of this machine.
        """
        self.machine = budget.machine
        self.timings: list[Timing] = []
        self._budget, self._device = budget, device
        self._known = {timing.workload: timing for timing in budget.timings or recorded}

    def seconds_per_iteration(self, stage: Stage, dataset: Description) -> float:
        """Of a training step: recorded, in proportion to what is recorded, or measured.

        Raises:
            AutosegError: nothing is recorded, and this machine is not the one.
        """
        workload = describe(stage, self._budget.device)
        timing = self._known.get(workload) or Timing(
            workload=workload,
            feature_voxels=_feature_voxels(stage),
            seconds=self._in_proportion(stage) if self._budget.timings else self._measured(stage, dataset),
        )
        self._known[workload] = timing
        if timing not in self.timings:
            self.timings.append(timing)
        if self._device is not None and not self._budget.timings:
            self.machine = name_machine(self._device)
        return timing.seconds

    def _measured(self, stage: Stage, dataset: Description) -> float:
        if self._device is None:
            raise AutosegError(
                f"device '{self._budget.device}' is not to be had on this machine, and a plan for a number of minutes "
                "needs its speed. Make the plan where it is trained, or give a plan that was made there: "
                "--timings PLAN.json."
            )
        found = float(f"{seconds_per_iteration(stage, dataset, self._device):.3g}")
        logger.info("timed: %s: %.2g s an iteration", describe(stage, self._budget.device), found)
        return found

    def _in_proportion(self, stage: Stage) -> float:
        """The time of the recorded network that is nearest in size, in proportion to the sizes."""
        size = _feature_voxels(stage)
        timings: Sequence[Timing] = self._budget.timings
        for likeness in (f"{stage.dimensions}-D {stage.network.kind} ", f"{stage.dimensions}-D "):
            timings = [timing for timing in timings if timing.workload.startswith(likeness)] or timings
        nearest = min(timings, key=lambda timing: abs(math.log(timing.feature_voxels / size)))
        return float(f"{nearest.seconds * size / nearest.feature_voxels:.3g}")


def machine_for(budget: Budget, recorded: Sequence[Timing] = ()) -> tuple[Machine, Stopwatch]:
    """The machine to plan for, and what it is timed with.

    Memory is predicted, so the device need not be there; its speed is measured or recorded.

    Args:
        budget: device, and precision and timings if it is another machine's.
        recorded: earlier timings of this machine; what is among them is not timed again.
    """
    _, device = resolve_device(budget.device)
    stopwatch = Stopwatch(budget, device, recorded)
    # GPUs of the last years compute in bfloat16.
    elsewhere: Precision = "bfloat16" if budget.device == "cuda" else "float32"
    machine = Machine(
        budget.precision or (best_precision(device) if device else elsewhere),
        stopwatch.seconds_per_iteration,
        _each_once(budget.device),
        lambda stage, dataset, shape: inference_bytes(stage, dataset, shape, budget.device),
        MEMORY_MARGIN[budget.device],
    )
    return machine, stopwatch


def _each_once(device: str) -> Callable[[Stage, Description], int]:
    """Predicts the memory of training steps, of none twice: a trace takes a second, and searches come back."""
    known: dict[str, int] = {}

    def bytes_of(stage: Stage, dataset: Description) -> int:
        sampling, precision = stage.sampling, stage.training.precision
        sizes = (sampling.patch_size, sampling.batch_size)
        # A Dice over the batch or for each sample keeps the same feature maps, which are what the memory goes to.
        loss = [term.model_dump(exclude={"over_batch"}) for term in stage.loss]
        key = repr((stage.network, sizes, loss, stage.optimizer, precision, stage.previous, dataset))
        if key not in known:
            known[key] = training_bytes(stage, dataset, device)
        return known[key]

    return bytes_of


def name_machine(device: torch.device) -> str:
    """Processor, threads and torch's version: what decides how fast a network trains."""
    found = describe_machine(device)
    return f"{found['hardware']}, {found['threads']} threads, torch {found['torch']}"


def describe(stage: Stage, device: str) -> str:
    """A training step in words.

    Channels and labels of the dataset are not told: what another dataset needs for the same step is close to it.
    """
    network, sampling = stage.network, stage.sampling
    patch = "×".join(map(str, sampling.patch_size))
    strides = "-".join("×".join(map(str, stride)) for stride in network.strides[1:])
    return (
        f"{stage.dimensions}-D {network.kind} of {'-'.join(map(str, network.features))} features, strides {strides}, "
        f"batch {sampling.batch_size}, patch {patch}, {stage.training.precision}, {stage.optimizer.kind}, {device}"
    )


def _feature_voxels(stage: Stage) -> float:
    """Channels × voxels of the encoder's feature maps in a batch, in millions."""
    voxels, total = float(math.prod(stage.sampling.patch_size)), 0.0
    for features, stride in zip(stage.network.features, stage.network.strides, strict=True):
        voxels /= math.prod(stride)
        total += features * voxels
    return stage.sampling.batch_size * total / 1e6
