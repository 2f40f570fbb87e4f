"""Random logits and classes, and what our losses make of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from autoseg.dataset.labels import IGNORE_CLASS, Labels
from autoseg.plan.loss import LossTerm
from autoseg.training.losses import build_loss

Drawn = tuple[NDArray[np.float64], NDArray[np.int64]]


def drawn(labels: Labels, shape: tuple[int, ...] = (4, 5, 3), ignored: float = 0.0, seed: int = 0) -> Drawn:
    """Logits (3, outputs, *shape) and class indices; a share of the voxels is not annotated."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (3, labels.outputs, *shape))
    classes = generator.integers(0, len(labels.classes), (3, *shape))
    classes[generator.random(classes.shape) < ignored] = IGNORE_CLASS
    return logits, classes


def value_and_gradient(
    terms: Sequence[LossTerm], labels: Labels, logits: NDArray[np.float64], classes: NDArray[np.int64]
) -> tuple[float, NDArray[np.float32]]:
    x = torch.tensor(logits, dtype=torch.float32, requires_grad=True)
    value = build_loss(terms, labels)(x, torch.tensor(classes, dtype=torch.int16))
    value.backward()
    assert x.grad is not None
    return value.item(), x.grad.numpy()


@pytest.fixture(scope="session")
def draw() -> Callable[..., Drawn]:
    return drawn


@pytest.fixture(scope="session")
def ours() -> Callable[..., tuple[float, NDArray[np.float32]]]:
    """Value of a loss, and its gradient in the logits."""
    return value_and_gradient
