"""A stage small enough to train in a second, cases in memory, and cases on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from autoseg.dataset import Dataset, write_image, write_label_map
from autoseg.files import write_json
from autoseg.geometry import plain_grid
from autoseg.plan import Plan, Stage
from autoseg.preprocessing import Locations, PreparedCase, prepare_dataset

CPU = torch.device("cpu")
MakeStage = Callable[..., Stage]

# Everything that draws random numbers is switched on: what is repeated must repeat all of it.
AUGMENTATION = [
    {
        "kind": "spatial",
        "rotation_probability": 0.5,
        "rotation_degrees": [{"low": -30, "high": 30}] * 3,
        "scale_probability": 0.5,
    },
    {"kind": "noise", "probability": 0.5},
    {"kind": "blur", "probability": 0.5},
    {"kind": "brightness", "probability": 0.5},
    {"kind": "contrast", "probability": 0.5},
    {"kind": "low_resolution", "probability": 0.5},
    {"kind": "gamma", "probability": 0.5, "inverted": True},
    {"kind": "gamma", "probability": 0.5},
    {"kind": "mirror", "axes": [0, 1]},
]


def tiny_stage(dimensions: int = 3, **changes: dict[str, Any] | list[Any]) -> Stage:
    """Two resolutions of 4 and 8 features. A change replaces a part, or fields of it: sampling={"batch_size": 3}."""
    axes = dimensions * [1]
    data: dict[str, Any] = {
        "dimensions": dimensions,
        "preprocessing": {"spacing_mm": [2.0, 1.0, 1.0][-dimensions:], "normalisation": [{"kind": "zscore"}]},
        "network": {
            "kind": "plain_unet",
            "features": [4, 8],
            "kernels": [[3] * dimensions, [3] * dimensions],
            "strides": [axes, [2] * dimensions],
            "encoder_convolutions": [1, 1],
            "decoder_convolutions": [1],
        },
        "sampling": {"patch_size": [8, 16, 16][-dimensions:], "batch_size": 2},
        "augmentation": AUGMENTATION,
        "loss": [{"kind": "cross_entropy"}, {"kind": "dice"}],
        "training": {"epochs": 3, "iterations_per_epoch": 3, "validation_iterations": 2, "seed": 1},
    }
    for part, change in changes.items():
        data[part] = data.get(part, {}) | change if isinstance(change, dict) else change
    return Stage.model_validate(data)


@pytest.fixture(scope="session")
def make_stage() -> MakeStage:
    return tiny_stage


@dataclass(frozen=True)
class CaseInMemory:
    """What a patch is read from, without files."""

    name: str
    pixels: NDArray[np.float32]  # (channels, z, y, x)
    classes: NDArray[np.int16]  # (z, y, x)
    targets: Sequence[NDArray[np.int32]] = ()
    annotated: NDArray[np.int32] | None = None
    maps: Path | None = None
    read: list[str] = field(default_factory=list)
    record: Any = field(
        default_factory=lambda: SimpleNamespace(sources=(), refined=None)
    )  # of the files it was prepared from

    def image(self) -> NDArray[np.float32]:
        return self.pixels.copy()

    def labels(self) -> NDArray[np.int16]:
        return self.classes[None].copy()

    def locations(self) -> Locations:
        self.read.append("locations")
        return Locations(tuple(self.targets), self.annotated)


@pytest.fixture(scope="session")
def case_in_memory() -> type[CaseInMemory]:
    return CaseInMemory


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Five cases of 9 × 24 × 20 voxels or a little more: a bright ball, and in it a brighter box."""
    folder = tmp_path_factory.mktemp("balls")
    for number in range(5):
        generator = np.random.default_rng(number)
        shape = (9 + number, 24, 20 + number)
        centre = np.array([4.5, 12, 10]) + generator.uniform(-1, 1, 3)
        distance = np.linalg.norm((np.moveaxis(np.indices(shape), 0, -1) - centre) * (2, 1, 1), axis=-1)
        label_map = (distance < 7).astype(np.uint8)
        label_map[3:6, 10:14, 8:12] = 2
        image = np.choose(label_map, [100, 200, 300]) + generator.normal(0, 20, shape)
        grid = plain_grid(shape, (2.0, 1.0, 1.0))
        write_image(folder / "imagesTr" / f"ball_{number}_0000.nii.gz", image.astype(np.int16), grid)
        write_label_map(folder / "labelsTr" / f"ball_{number}.nii.gz", label_map, grid)
    write_json(
        folder / "dataset.json",
        {
            "name": "Balls",
            "channel_names": {"0": "MR"},
            "labels": {"background": 0, "ball": 1, "box": 2},
            "numTraining": 5,
            "file_ending": ".nii.gz",
        },
    )
    return Dataset.open(folder)


@pytest.fixture(scope="session")
def prepared(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[PreparedCase]:
    """The cases of `dataset`, ready for stages of two and of three dimensions."""
    stage = tiny_stage()
    return prepare_dataset(
        dataset, stage.preprocessing, stage.sampling.patch_size, tmp_path_factory.mktemp("prepared"), processes=1
    )


@pytest.fixture
def make_plan(dataset: Dataset) -> Callable[[Stage], Plan]:
    def make(stage: Stage) -> Plan:
        return Plan.model_validate({"dataset": dataset.description, "budget": {}, "stages": {"tiny": stage}})

    return make


@pytest.fixture(scope="session")
def cpu() -> torch.device:
    return CPU


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a training writes; it makes the folder itself."""
    return tmp_path / "fold_0"
