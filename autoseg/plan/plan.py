"""The plan: everything that decides a model, in one tree, in one file."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from autoseg.dataset.description import Description
from autoseg.frozen import Frozen
from autoseg.phrases import counted
from autoseg.plan.augmentation import Transform
from autoseg.plan.augmentation_checks import check_axes, check_order, check_places
from autoseg.plan.inference import Inference
from autoseg.plan.loss import LossTerm, misfits
from autoseg.plan.network import Axes, Network
from autoseg.plan.postprocessing import Rule, names_in
from autoseg.plan.preprocessing import Preprocessing, RescaleToUnit, ZScore
from autoseg.plan.previous import Name, Previous, unfit_previous
from autoseg.plan.sampling import Sampling
from autoseg.plan.training import LEAST_MINUTES, SGD, Average, Optimizer, Poly, Precision, Schedule, Stopping, Training

Device = Literal["cpu", "cuda", "mps"]
PresetName = Literal["standard", "nnunet", "nnunet-resenc-m", "nnunet-resenc-l", "nnunet-resenc-xl"]


class Timing(Frozen):
    """How long an iteration of training took.

    Attributes:
        workload: what was timed, in words: network, batch, patch, precision, device.
        feature_voxels: channels × voxels of its feature maps, in millions; times of other networks are taken
            to be in proportion.
        seconds: of one iteration.
    """

    workload: str
    feature_voxels: float = Field(gt=0)
    seconds: float = Field(gt=0)


class Budget(Frozen):
    """What a model may cost.

    Attributes:
        device: what it is trained on.
        memory_gb: memory of that device for training, GB.
        minutes: training time of one model, 0.01 or more; None trains as long as nnU-Net does.
        precision: number type that the device trains fastest in; None until it was asked.
        machine: that was timed; empty where none was.
        timings: what it was measured to do. They are all a plan knows of its machine's speed, so that the
            same budget gives the same plan.
    """

    device: Device = "cpu"
    memory_gb: float = Field(default=8.0, gt=0)
    minutes: float | None = Field(default=None, ge=LEAST_MINUTES)
    precision: Precision | None = None
    machine: str = ""
    timings: tuple[Timing, ...] = ()


class Stage(Frozen):
    """One network: what it sees, what it is, how it is trained and used.

    Attributes:
        dimensions: 3, or 2 for a network that sees single slices.
        previous: the stage whose prediction this one refines; None where it starts from the image.
        loss: terms that are added up.
        stopping: when the training ends before its time; None for never.
        average: of the weights, kept beside them and used where it is better on validation; None for none.
        postprocessing: rules for its label maps, in order.
    """

    dimensions: Literal[2, 3]
    previous: Previous | None = None
    preprocessing: Preprocessing
    network: Network
    sampling: Sampling
    augmentation: tuple[Transform, ...]
    loss: tuple[LossTerm, ...] = Field(min_length=1)
    optimizer: Optimizer = SGD()
    schedule: Schedule = Poly()
    stopping: Stopping | None = None
    average: Average | None = None
    training: Training = Training()
    inference: Inference = Inference()
    postprocessing: tuple[Rule, ...] = ()

    @model_validator(mode="after")
    def _axes_agree(self) -> Stage:
        prepared = self.preprocessing
        if prepared.resize_to is not None and self.dimensions != 2:
            raise ValueError(
                f"preprocessing.resize_to {list(prepared.resize_to)} is the shape of single slices, and this is a "
                "stage of 3 dimensions; give preprocessing.spacing_mm, or make the stage one of 2 dimensions"
            )
        found = {
            **({} if prepared.spacing_mm is None else {"preprocessing.spacing_mm": prepared.spacing_mm}),
            "sampling.patch_size": self.sampling.patch_size,
            "network.strides[0]": self.network.strides[0],
            "network.kernels[0]": self.network.kernels[0],
        }
        for name, value in found.items():
            if len(value) != self.dimensions:
                raise ValueError(f"{name} has {len(value)} axes in a stage of {self.dimensions} dimensions: {value}")
        divisor, patch = self.network.divisor, self.sampling.patch_size
        nearest = list(_nearest_patch(patch, divisor))
        if any(size % by for size, by in zip(patch, divisor, strict=True)):
            raise ValueError(
                f"sampling.patch_size {list(patch)} is not divisible by the network's strides, "
                f"{list(divisor)} in all; the nearest that works: {nearest}"
            )
        if patch == divisor:
            raise ValueError(
                f"sampling.patch_size {list(patch)}: the strides, {list(divisor)} in all, leave one voxel of it, "
                f"which cannot be normalised; the nearest that works: {nearest}"
            )
        return self

    @model_validator(mode="after")
    def _rates_agree(self) -> Stage:
        rate, lowest = self.optimizer.learning_rate, getattr(self.schedule, "minimum", 0.0)
        if lowest > rate:
            raise ValueError(f"schedule.minimum {lowest:g} is above optimizer.learning_rate {rate:g}; give a lower one")
        last = None if self.stopping is None else self.stopping.learning_rate
        if last is not None and not lowest <= last < rate:
            raise ValueError(
                f"stopping.learning_rate {last:g}: the learning rate begins at {rate:g} and falls to {lowest:g} at the "
                "lowest; give a rate between"
            )
        return self

    @model_validator(mode="after")
    def _transforms_fit(self) -> Stage:
        check_order(self.augmentation, self.sampling.batch_size)
        check_places(self.augmentation, self.dimensions, len(self.preprocessing.normalisation))
        return self

    @model_validator(mode="after")
    def _mirrored_axes_exist(self) -> Stage:
        check_axes("inference.mirror_axes", self.inference.mirror_axes, self.dimensions)
        return self

    @model_validator(mode="after")
    def _views_differ_and_fit(self) -> Stage:
        seen: dict[tuple[int, ...], int] = {}
        for number, view in enumerate(self.inference.views):
            check_axes(f"inference.views[{number}].flips", view.flips, self.dimensions)
            patch = self.sampling.patch_size
            if view.quarter_turns % 2 and patch[-1] != patch[-2]:
                raise ValueError(
                    f"inference.views[{number}] turns a window by 90°, and sampling.patch_size {list(patch)} is not "
                    "square in its last two axes; make it square, or turn by 0 or 2 quarters"
                )
            same = seen.setdefault(view.orientation(self.dimensions), number)
            if same != number:
                raise ValueError(
                    f"inference.views[{number}] is the same view as inference.views[{same}]; leave one out"
                )
        return self

    @model_validator(mode="after")
    def _air_is_known(self) -> Stage:
        scale = self.preprocessing.normalisation[0]
        if self.inference.air is not None and isinstance(scale, ZScore | RescaleToUnit):
            raise ValueError(
                f"inference.air {self.inference.air:g}: with normalisation '{scale.kind}' of the first channel, "
                "intensities mean something else in every image, so air is not known by them; leave it null"
            )
        return self


def _nearest_patch(patch: Axes, divisor: Axes) -> Axes:
    """The nearest patch that strides divide and that leaves the coarsest level more than one voxel.

    >>> _nearest_patch((17, 30), (2, 4)), _nearest_patch((1, 1), (2, 4)), _nearest_patch((2, 5), (2, 2))
    ((16, 32), (4, 4), (2, 4))
    """
    nearest = tuple(max(1, round(size / by)) * by for size, by in zip(patch, divisor, strict=True))
    if nearest != divisor:
        return nearest
    larger = [(*divisor[:axis], 2 * divisor[axis], *divisor[axis + 1 :]) for axis in range(len(divisor))]
    return min(larger, key=lambda one: sum(abs(size - wanted) for size, wanted in zip(one, patch, strict=True)))


class Decision(Frozen):
    """Why a value in the plan is what it is.

    Attributes:
        value: what was decided, as JSON.
        rule: name of the rule, "hand-set" where a person decided.
        facts: the numbers the rule was given.
        reason: one sentence for people.
        alternative: what the nearest other choice would have been, and why not; empty where there is none.
    """

    value: Any
    rule: str
    facts: dict[str, Any] = Field(default_factory=dict)
    reason: str
    alternative: str = ""


class Plan(Frozen):
    """Everything that decides the models of a dataset.

    Attributes:
        format: version of this file format.
        name: of the plan; models lie under it.
        dataset: channels and labels.
        budget: what the plan was made for.
        preset: the rules it was derived by; None where its stages were not derived.
        facts: hash of the facts about the dataset that it was made from; empty in a plan written by hand.
        stages: name → stage.
        decisions: path of a value in this file ("stages.2d.sampling.batch_size") → why, in the order decided.
        warnings: what a person should know before training, a sentence each.
        notes: of a plan written by hand: what it is, where it is from, what was left open and how that was chosen, a
            sentence each, the first of them on what it is.
    """

    format: Literal[1] = 1
    name: Name = "default"
    dataset: Description
    budget: Budget
    preset: PresetName | None = None
    facts: str = ""
    stages: dict[Name, Stage] = Field(min_length=1)
    decisions: dict[str, Decision] = Field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _folders_differ(self) -> Plan:
        seen: dict[str, str] = {}
        for name in self.stages:
            if (same := seen.setdefault(name.lower(), name)) != name:
                raise ValueError(
                    f"stages.{same} and stages.{name} have one name but for upper case, and some disks would keep them "
                    "in one folder; call one otherwise"
                )
        return self

    @model_validator(mode="after")
    def _previous_stages_fit(self) -> Plan:
        previous = {name: stage.previous for name, stage in self.stages.items()}
        for fault in unfit_previous(previous, self.dataset.labels):
            raise ValueError(f"stages.{fault}")
        return self

    @model_validator(mode="after")
    def _channels_agree(self) -> Plan:
        for name, stage in self.stages.items():
            found, expected = len(stage.preprocessing.normalisation), len(self.dataset.channels)
            if found != expected:
                entries = f"{found} entr{'y' if found == 1 else 'ies'}"
                raise ValueError(
                    f"stages.{name}.preprocessing.normalisation has {entries} for {counted(expected, 'channel')}"
                )
        return self

    @model_validator(mode="after")
    def _postprocessing_fits_the_labels(self) -> Plan:
        for name, stage in self.stages.items():
            for number, rule in enumerate(stage.postprocessing):
                for named in names_in(rule):
                    if named not in self.dataset.labels.targets:
                        field = "target" if named == rule.target else "becomes"
                        raise ValueError(
                            f"stages.{name}.postprocessing[{number}].{field} '{named}' is nothing this dataset "
                            f"predicts; name one of {', '.join(self.dataset.labels.targets)}"
                        )
        return self

    @model_validator(mode="after")
    def _likelier_labels_exist(self) -> Plan:
        for name, stage in self.stages.items():
            likelier = {} if stage.sampling.grid is None else stage.sampling.grid.likelier
            for label in likelier.keys() - self.dataset.labels.targets.keys():
                raise ValueError(
                    f"stages.{name}.sampling.grid.likelier: the dataset has no label '{label}'; it has "
                    f"{', '.join(self.dataset.labels.targets)}"
                )
        return self

    @model_validator(mode="after")
    def _losses_fit_the_labels(self) -> Plan:
        for name, stage in self.stages.items():
            for fault in misfits(stage.loss, self.dataset.labels):
                raise ValueError(f"stages.{name}.loss.{fault}")
        return self
