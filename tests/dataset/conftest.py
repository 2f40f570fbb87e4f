"""Small files to open: a volume under any name, and a dataset in nnU-Net's layout."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.dataset import write_image
from autoseg.geometry import plain_grid

SHAPE = (4, 5, 6)
NNUNET = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "kidney": 1, "tumour": 2},
    "numTraining": 3,
    "file_ending": ".nii.gz",
}


@pytest.fixture
def write_volume() -> Callable[..., Path]:
    """Writes (path, array or None, spacing): random int16 voxels unless an array is given."""

    def write(path: Path, array: np.ndarray | None = None, spacing: tuple[float, float, float] = (3, 2, 1)) -> Path:
        if array is None:
            seed = np.frombuffer(str(path).encode(), dtype=np.uint8)
            array = np.random.default_rng(seed).integers(-100, 100, SHAPE).astype(np.int16)
        write_image(path, array, plain_grid(array.shape, spacing))
        return path

    return write


@pytest.fixture
def write_dataset(tmp_path, write_volume, write_json, label_map) -> Callable[..., Path]:
    """Writes a dataset of three cases; keyword arguments change dataset.json, None removes a field."""

    def write(channels: int = 1, names: tuple[str, ...] = ("a", "b", "c"), **fields: Any) -> Path:
        folder = tmp_path / "dataset"
        write_json(folder, {**NNUNET, **fields})
        for name in names:
            for channel in range(channels):
                write_volume(folder / "imagesTr" / f"{name}_{channel:04d}.nii.gz")
            write_volume(folder / "labelsTr" / f"{name}.nii.gz", label_map)
        return folder

    return write


@pytest.fixture
def label_map() -> np.ndarray:
    """A label map that holds 0, 1 and 2."""
    label_map = np.zeros(SHAPE, dtype=np.uint8)
    label_map[1:3, 1:4, 1:4] = 1
    label_map[2, 2:4, 2:4] = 2
    return label_map


@pytest.fixture
def write_json() -> Callable[..., None]:
    """Writes a folder's dataset.json without the fields that are None."""

    def write(folder: Path, content: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        present = {field: value for field, value in content.items() if value is not None}
        (folder / "dataset.json").write_text(json.dumps(present))

    return write
