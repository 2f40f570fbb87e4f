"""A trained model on disk: `weights.safetensors` beside `model.json`.

The one module that reads and writes the two. The JSON holds the whole plan, so a model needs
nothing but its folder; nothing in it is ever executed. What a model is can be read without torch.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator
from safetensors import SafetensorError

from autoseg.errors import ModelError
from autoseg.files import read_frozen, write_bytes, write_json
from autoseg.frozen import Frozen
from autoseg.plan import Plan

if TYPE_CHECKING:
    import torch
    from torch import Tensor

WEIGHTS, DESCRIPTION = "weights.safetensors", "model.json"
RESUME, LOG, CURVES = "resume.pt", "log.jsonl", "progress.png"  # of the training, in the same folder
FOLD = "fold_"  # how that folder's name begins


class Model(Frozen):
    """What a model is and where it comes from.

    Attributes:
        plan: the whole plan it was trained by.
        stage: name of its stage in the plan.
        fold: number of the fold, or "all".
        training_cases: names of the cases it was fitted to.
        validation_cases: names of the cases it was not.
        trained: what the training took: epochs, iterations, minutes; why it stopped before its time, if it did; which
            weights were kept.
        machine: versions and hardware.
        job: hash of the stage, the cases and their files, to tell whether a model is the one asked for.
    """

    format: Literal[1] = 1
    plan: Plan
    stage: str
    fold: int | Literal["all"]
    training_cases: tuple[str, ...]
    validation_cases: tuple[str, ...]
    trained: dict[str, float | str | None]
    machine: dict[str, str] = Field(default_factory=dict)
    job: str = ""

    @model_validator(mode="after")
    def _stage_is_planned(self) -> Model:
        if self.stage not in self.plan.stages:
            raise ValueError(f"the plan has no stage '{self.stage}'")
        return self


def write_model(folder: Path, model: Model, weights: Mapping[str, Tensor]) -> None:
    """Writes a model; the weights come last, so their presence says that it is whole.

    Those of a model that was trained on go first, for a new description does not say what they are. Killed in between,
    the folder holds no model until the same training command writes it from its last checkpoint.
    """
    from safetensors.torch import save  # to bytes: its own way to a file leaves a part of it behind when it is killed

    (folder / WEIGHTS).unlink(missing_ok=True)
    write_json(folder / DESCRIPTION, model.model_dump(mode="json"))
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    write_bytes(folder / WEIGHTS, save(tensors))


def read_model(folder: Path) -> Model:
    """Reads what a model is.

    Raises:
        ModelError: the folder is no model, or its description is broken.
    """
    if not (folder / WEIGHTS).is_file():
        raise ModelError(_no_weights(folder))
    if not (folder / DESCRIPTION).is_file():
        raise ModelError(
            f"{folder}: {WEIGHTS} is here, but {DESCRIPTION}, which says what the weights mean, is not. Copy the whole "
            f"folder again; or remove {WEIGHTS} and run the training command again: it continues from its checkpoint."
        )
    remedy = "It was written by another version or changed by hand; train again, or restore the file."
    return read_frozen(Model, folder / DESCRIPTION, ModelError, "a model of format 1", remedy)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Reads a model's weights.

    Raises:
        ModelError: the file is damaged, or holds NaN or infinity.
    """
    import torch
    from safetensors.torch import load_file

    try:
        weights: dict[str, Tensor] = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as problem:
        raise ModelError(
            f"{folder / WEIGHTS}: the weights cannot be read ({problem}). Remove the file and run the training "
            "command again: it continues from its checkpoint."
        ) from None
    bad = [name for name, values in weights.items() if not bool(torch.isfinite(values).all())]
    if bad:
        raise ModelError(
            f"{folder / WEIGHTS}: {len(bad)} of {len(weights)} weights hold NaN or infinity ({bad[0]}). This model "
            "predicts nothing: restore the file, or remove the folder and train again, in float32 "
            "(--set stages.NAME.training.precision=float32) if it was not."
        )
    return weights


def is_trained(folder: Path) -> bool:
    """Whether a folder holds a whole model."""
    return (folder / WEIGHTS).is_file() and (folder / DESCRIPTION).is_file()


def describe_machine(device: torch.device) -> dict[str, str]:
    """Versions, processor and date, recorded with every model."""
    import torch

    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    packages = ("torch", "numpy", "scipy", "SimpleITK", "blosc2")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device.type,
        "hardware": hardware,
        "threads": str(torch.get_num_threads()),
        "system": platform.platform(),
        "python": platform.python_version(),
        "autoseg": import_module("autoseg").__version__,  # by name: its __init__ lists the layers above this one
        **{package: _version(package) for package in packages},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # installed without its metadata, as conda or a system may do
        return "unknown"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _no_weights(folder: Path) -> str:
    if not folder.is_dir():
        return f"{folder}: no such folder. Name a workspace, its models/PLAN, or the folder of a stage or a fold."
    if (folder / RESUME).is_file():
        return f"{folder}: the training has not finished. Run the same training command again to continue it."
    return (
        f"{folder}: no model here ({WEIGHTS} is missing). Name the folder of a trained fold "
        "(…/models/PLAN/STAGE/fold_0), of a stage with trained folds, or of a workspace; 'autoseg run DATASET' trains."
    )
