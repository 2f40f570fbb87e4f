"""The parts of a plan that say how, and how long, the weights are fitted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from autoseg.frozen import Frozen

Precision = Literal["float32", "bfloat16", "float16"]

MOST = 10**9  # epochs, or iterations in one: more is a slip of the keyboard
LEAST_MINUTES = 0.01  # so is less: a step takes about as long
Rate = Annotated[float, Field(gt=0, le=100)]


class SGD(Frozen):
    """Stochastic gradient descent with Nesterov momentum."""

    kind: Literal["sgd"] = "sgd"
    learning_rate: Rate = 0.01
    momentum: float = Field(default=0.99, ge=0, lt=1)
    weight_decay: float = Field(default=3e-5, ge=0)


class Adam(Frozen):
    """Adam (doi:10.48550/arXiv.1412.6980) with weight decay as an L2 penalty: it is a part of the gradient."""

    kind: Literal["adam"] = "adam"
    learning_rate: Rate = 1e-3
    weight_decay: float = Field(default=0.0, ge=0)


class AdamW(Frozen):
    """Adam with decoupled weight decay (doi:10.48550/arXiv.1711.05101): learns fast in few iterations."""

    kind: Literal["adamw"] = "adamw"
    learning_rate: Rate = 2e-3
    weight_decay: float = Field(default=3e-5, ge=0)


Optimizer = Annotated[SGD | Adam | AdamW, Field(discriminator="kind")]

Quantity = Literal["train_loss", "validation_loss", "mean_dice"]  # columns of the log; Dice is to rise, losses to fall
QUANTITY_NAMES: dict[Quantity, str] = {
    "train_loss": "training loss",
    "validation_loss": "validation loss",
    "mean_dice": "mean Dice",
}


class WarmedUp(Frozen):
    """A schedule that may follow after a warm-up.

    Attributes:
        warm_up: share of the training in which the rate rises from 0, in proportion, to where the schedule begins.
            The schedule has what is left; one that follows the log counts the epochs of the warm-up, too.
    """

    kind: str
    warm_up: float = Field(default=0.0, ge=0, lt=1)


class Constant(WarmedUp):
    """The learning rate stays the optimiser's."""

    kind: Literal["constant"] = "constant"


class Poly(WarmedUp):
    """The learning rate falls as (1 - progress) ** power; progress runs from 0 to 1 over the training."""

    kind: Literal["poly"] = "poly"
    power: float = Field(default=0.9, gt=0)


class Cosine(WarmedUp):
    """The learning rate falls along half a cosine (doi:10.48550/arXiv.1608.03983, without restarts).

    Attributes:
        minimum: the learning rate at the end; a rate, not a share of the optimiser's.
    """

    kind: Literal["cosine"] = "cosine"
    minimum: float = Field(default=0.0, ge=0)


class FactorBelow(Frozen):
    """A factor for as long as the mean Dice of the last epoch is below a bound."""

    dice: float = Field(gt=0, le=1)
    factor: float = Field(gt=0, lt=1)


class ReduceOnPlateau(WarmedUp):
    """The learning rate falls by a factor whenever a quantity has not improved for some epochs.

    Counting starts again after every fall, but the best value so far stays the one to beat.

    Attributes:
        quantity: of the log.
        newest: what the newest epoch counts in the moving average that is looked at, which begins with the first
            epoch's value; 1 looks at the quantity itself.
        patience: epochs without improvement until the rate falls.
        tolerance: by how much, in units of the quantity, a value must beat the best to count as an improvement.
        factor: that the rate falls by.
        factors_below: other factors while the mean Dice is low, by rising Dice; the first that applies is taken.
        minimum: the rate does not fall lower; a rate, not a share of the optimiser's.
    """

    kind: Literal["reduce_on_plateau"] = "reduce_on_plateau"
    quantity: Quantity = "train_loss"
    newest: float = Field(default=1.0, gt=0, le=1)
    patience: int = Field(default=30, ge=1)
    tolerance: float = Field(default=0.0, ge=0)
    factor: float = Field(default=0.2, gt=0, lt=1)
    factors_below: tuple[FactorBelow, ...] = ()
    minimum: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _by_rising_dice(self) -> ReduceOnPlateau:
        bounds = [one.dice for one in self.factors_below]
        if bounds != sorted(set(bounds)):
            raise ValueError(f"factors_below are for a Dice below {bounds}: the bounds must rise")
        return self


class OneCycle(Frozen):
    """The learning rate rises to the optimiser's and falls far below where it began (doi:10.1117/12.2520589).

    Both ways along half a cosine. The momentum stays as it is.

    Attributes:
        rising: share of the training in which it rises.
        first_divisor: the rate begins at the optimiser's divided by this,
        last_divisor: and ends at what it began with divided by this.
    """

    kind: Literal["one_cycle"] = "one_cycle"
    rising: float = Field(default=0.3, gt=0, lt=1)
    first_divisor: float = Field(default=25.0, ge=1)
    last_divisor: float = Field(default=1e4, ge=1)


Schedule = Annotated[Constant | Poly | Cosine | ReduceOnPlateau | OneCycle, Field(discriminator="kind")]


class Stopping(Frozen):
    """When a training ends before its time: on either condition that is set.

    Attributes:
        quantity: of the log, that must improve.
        patience: epochs without improvement after which it ends; None does not ask for improvement.
        tolerance: by how much, in units of the quantity, a value must beat the best to count as an improvement.
        learning_rate: it ends after an epoch at whose end the rate has fallen to this.
    """

    quantity: Quantity = "validation_loss"
    patience: int | None = Field(default=None, ge=1)
    tolerance: float = Field(default=0.0, ge=0)
    learning_rate: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _stops(self) -> Stopping:
        if self.patience is None and self.learning_rate is None:
            raise ValueError("neither patience nor learning_rate is set, so nothing would stop; set one, or give null")
        return self


class Average(Frozen):
    """A moving average of the weights, beside those that are trained (doi:10.1137/0330046).

    Attributes:
        decay: what the average so far counts after each step. After step t it is (1 + t) / (10 + t) at most, so that
            the first, random weights are soon forgotten.
    """

    decay: float = Field(default=0.999, gt=0, lt=1)


class Training(Frozen):
    """Length, precision and seed.

    Attributes:
        epochs: how many, when `minutes` is unset.
        iterations_per_epoch: steps between two validations.
        validation_iterations: batches of validation patches an epoch.
        validation_cases: whole cases an epoch, the first so many of the fold's validation cases by name, are scored in
            place of patches: their mean loss and Dice are those of the log, which schedules and stopping look at. None
            scores patches. Whole cases are all scored once the training is over, in either way.
        minutes: time to train; epochs are then counted by the clock, and `epochs` is not used.
        precision: "float32", or the type the network computes in while its weights stay float32.
        gradient_clip: largest norm of the gradient.
        compile: train a compiled network (torch.compile). Nothing chooses it by itself: on two CPU cores steps took 1.2
            times as long, after a minute of compiling, and on a GPU it was not measured.
        seed: of weights, patches and augmentation.
    """

    epochs: int = Field(default=1000, ge=1, le=MOST)
    iterations_per_epoch: int = Field(default=250, ge=1, le=MOST)
    validation_iterations: int = Field(default=50, ge=1)
    validation_cases: int | None = Field(default=None, ge=1)
    minutes: float | None = Field(default=None, ge=LEAST_MINUTES)
    precision: Precision = "float32"
    gradient_clip: float = Field(default=12.0, gt=0)
    compile: bool = False
    seed: int = Field(default=0, ge=0, lt=2**63)
