"""Plans of tiny networks, models on disk, and networks whose answer is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from autoseg.dataset import Description, Labels
from autoseg.inference.model import WEIGHTS, Model, write_model
from autoseg.inference.predictor import Predictor
from autoseg.networks import build_network
from autoseg.plan import Budget, Plan, Stage
from autoseg.plan.inference import Inference
from autoseg.plan.loss import BinaryCrossEntropy, CrossEntropy
from autoseg.plan.network import PlainUNet
from autoseg.plan.preprocessing import NoNormalisation, Preprocessing
from autoseg.plan.sampling import Sampling
from autoseg.plan.training import Training

KIDNEY = Labels(values={"background": 0, "kidney": 7})

MakeStage = Callable[..., Stage]
MakePlan = Callable[..., Plan]
MakeModel = Callable[..., Path]
MakePredictor = Callable[..., Predictor]


class Bright(nn.Module):
    """Sees a kidney wherever the first channel is above 0; counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        self.calls += 1
        first = images[:, :1]
        return (torch.cat((torch.zeros_like(first), first), dim=1),)


def stage(
    patch: Sequence[int],
    channels: int = 1,
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
    precision: str = "float32",
    crop_to_nonzero: bool = False,
    overlapping: bool = False,
    orientation: str | None = None,
    **inference: object,
) -> Stage:
    """A stage of as many dimensions as its patch has."""
    dimensions = len(patch)
    ones, twos = (1,) * dimensions, (2,) * dimensions
    return Stage(
        dimensions=dimensions,
        preprocessing=Preprocessing(
            orientation=orientation,
            crop_to_nonzero=crop_to_nonzero,
            spacing_mm=tuple(spacing_mm)[-dimensions:],
            normalisation=(NoNormalisation(),) * channels,
        ),
        network=PlainUNet(
            features=(4, 8),
            kernels=((3,) * dimensions,) * 2,
            strides=(ones, twos),
            encoder_convolutions=(1, 1),
            decoder_convolutions=(1,),
        ),
        sampling=Sampling(patch_size=tuple(patch), batch_size=2),
        augmentation=(),
        loss=(BinaryCrossEntropy() if overlapping else CrossEntropy(),),
        training=Training(precision=precision),
        inference=Inference(**inference),
    )


def plan(
    patch: Sequence[int] = (8, 8, 8), channels: Sequence[str] = ("CT",), labels: Labels = KIDNEY, **stages: object
) -> Plan:
    """A plan with one stage, "net"."""
    return Plan(
        dataset=Description(name="invented", channels=tuple(channels), labels=labels),
        budget=Budget(),
        stages={"net": stage(patch, len(channels), overlapping=bool(labels.regions), **stages)},
    )


def model(of: Plan, fold: int | str = 0, stage: str = "net") -> Model:
    return Model(
        plan=of,
        stage=stage,
        fold=fold,
        training_cases=("a", "b"),
        validation_cases=("c",),
        trained={"epochs": 1.0},
        machine={"date": "2026-01-01"},
    )


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def make_stage() -> MakeStage:
    return stage


@pytest.fixture
def make_plan() -> MakePlan:
    return plan


@pytest.fixture
def make_model() -> MakeModel:
    """Writes a model of fresh weights: (folder, fold, seed, plan, stage)."""

    def make(folder: Path, fold: int | str = 0, seed: int = 0, of: Plan | None = None, stage: str = "net") -> Path:
        of = of or plan()
        network = build_network(of.stages[stage].network, len(of.dataset.channels), of.dataset.labels.outputs, seed)
        write_model(folder, model(of, fold, stage), network.state_dict())
        return folder

    return make


@pytest.fixture
def describe() -> Callable[..., Model]:
    return model


@pytest.fixture
def unfinished(tmp_path: Path, make_model: MakeModel) -> Path:
    """The folder of a training that was interrupted."""
    folder = make_model(tmp_path / "unfinished" / "fold_0")
    (folder / WEIGHTS).rename(folder / "resume.pt")
    return folder


@pytest.fixture
def make_predictor() -> MakePredictor:
    """A predictor without weights: (networks, and what `plan` takes)."""

    def make(networks: Sequence[nn.Module] | None = None, mirror: bool = True, **of: object) -> Predictor:
        return Predictor(model(plan(**of)), tuple(networks or (Bright(),)), torch.device("cpu"), mirror)

    return make
