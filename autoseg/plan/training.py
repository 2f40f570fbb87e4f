"""The parts of a plan that say how, and how long, the weights are fitted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from autoseg.frozen import Frozen

Precision = Literal["float32", "bfloat16", "float16"]

MOST = 10**9  # epochs, or iterations in one: more is a slip of the keyboard


class SGD(Frozen):
    """Stochastic gradient descent with Nesterov momentum."""

    kind: Literal["sgd"] = "sgd"
    learning_rate: float = Field(default=0.01, gt=0)
    momentum: float = Field(default=0.99, ge=0, lt=1)
    weight_decay: float = Field(default=3e-5, ge=0)


class AdamW(Frozen):
    """Adam with decoupled weight decay (doi:10.48550/arXiv.1711.05101): learns fast in few iterations."""

    kind: Literal["adamw"] = "adamw"
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=3e-5, ge=0)


Optimizer = Annotated[SGD | AdamW, Field(discriminator="kind")]


class Poly(Frozen):
    """The learning rate falls as (1 - progress) ** power; progress runs from 0 to 1 over the training."""

    kind: Literal["poly"] = "poly"
    power: float = Field(default=0.9, gt=0)


class Training(Frozen):
    """Length, precision and seed.

    Attributes:
        epochs: how many, when `minutes` is unset.
        iterations_per_epoch: steps between two validations.
        validation_iterations: batches of validation patches an epoch.
        minutes: time to train; epochs are then counted by the clock, and `epochs` is not used.
        precision: "float32", or the type the network computes in while its weights stay float32.
        gradient_clip: largest norm of the gradient.
        seed: of weights, patches and augmentation.
    """

    epochs: int = Field(default=1000, ge=1, le=MOST)
    iterations_per_epoch: int = Field(default=250, ge=1, le=MOST)
    validation_iterations: int = Field(default=50, ge=1)
    minutes: float | None = Field(default=None, gt=0)
    precision: Precision = "float32"
    gradient_clip: float = Field(default=12.0, gt=0)
    seed: int = Field(default=0, ge=0, lt=2**63)
