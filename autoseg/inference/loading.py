"""The networks of a model: one fold's, or those of all trained folds of a stage, to be averaged.

Comes in: the folder of a fold or of a stage. Goes out: what the model is, and its networks on a device.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from autoseg.errors import ModelError
from autoseg.inference.model import FOLD, WEIGHTS, Model, read_model, read_weights
from autoseg.networks import build_network
from autoseg.networks.devices import prediction_format
from autoseg.networks.fake import input_channels

logger = logging.getLogger(__name__)


def load_networks(folders: Sequence[Path], device: torch.device) -> tuple[Model, tuple[nn.Module, ...]]:
    """Loads the networks of folds that belong together.

    Args:
        folders: of the folds, as `model_folders` finds them.
        device: where the networks are to compute.

    Returns:
        What the first fold's model is, and a network a fold, in evaluation mode.

    Raises:
        ModelError: a model cannot be read, or the folds do not belong together.
    """
    models = [read_model(folder) for folder in folders]
    _must_agree(folders, models)
    return models[0], tuple(_load_network(model, fold, device) for model, fold in zip(models, folders, strict=True))


def model_folders(folder: Path) -> list[Path]:
    """The folders of the models that a path names: itself, or the trained folds in it.

    Raises:
        ModelError: there is none.
    """
    if (folder / WEIGHTS).is_file():
        return [folder]
    folds = [path for path in folder.glob(f"{FOLD}*") if (path / WEIGHTS).is_file()] if folder.is_dir() else []
    if not folds:
        read_model(folder)  # raises, saying what is wrong with the folder
    return sorted(
        folds, key=lambda path: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]
    )


def _must_agree(folders: Sequence[Path], models: Sequence[Model]) -> None:
    """Folds are averaged only if they see the same and answer in the same order."""
    folder = folders[0].parent
    stages = sorted({model.stage for model in models})
    if len(stages) > 1:
        raise ModelError(f"{folder}: the folds belong to different stages ({', '.join(stages)}). Name one fold.")
    first, *others = models
    if not all(_can_be_averaged(first, other) for other in others):
        raise ModelError(f"{folder}: the folds were trained by different plans. Train them again, or name one fold.")
    if len(models) > 1:
        logger.info("%s: averaging folds %s", folder, ", ".join(str(model.fold) for model in models))


def _can_be_averaged(first: Model, other: Model) -> bool:
    """Whether two models differ in nothing of their stage but how long they were trained."""
    one, two = (
        model.plan.stages[model.stage].model_dump(exclude={"training": {"epochs", "minutes"}})
        for model in (first, other)
    )
    return one == two and first.plan.dataset.is_like(other.plan.dataset)


def _load_network(model: Model, folder: Path, device: torch.device) -> nn.Module:
    dataset = model.plan.dataset
    stage = model.plan.stages[model.stage]
    network = build_network(stage.network, input_channels(stage, dataset), dataset.labels.outputs)
    try:
        network.load_state_dict(read_weights(folder))
    except RuntimeError as problem:
        first = str(problem).splitlines()[1].strip() if "\n" in str(problem) else str(problem)
        raise ModelError(
            f"{folder}: the weights do not fit the network of the plan in model.json ({first}). "
            "One of the two files is from another training."
        ) from None
    form = prediction_format(device, stage.dimensions)
    network.to(device, memory_format=form)  # type: ignore[call-overload]
    return network.eval()
