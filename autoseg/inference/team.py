"""Models that predict together, each of which sees images in its own way: their mean probability decides.

Comes in: predictors, and rules for what they have predicted; a case. Goes out: its label map and, where wanted, the
probabilities.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from autoseg.dataset import Case, Image, Labels, read_image
from autoseg.errors import ModelError
from autoseg.inference.averaging import mean_label_map
from autoseg.inference.mapped import mapped_array
from autoseg.inference.predictor import Prediction, Predictor
from autoseg.plan.postprocessing import Rule, needs_probabilities
from autoseg.postprocessing import apply
from autoseg.postprocessing.apply import must_fit
from autoseg.preprocessing import Placement
from autoseg.progress import Step, scaled

Seen = Image | tuple[Tensor, Placement]  # an image as the file has it, or as a network does


@dataclass(frozen=True)
class Team:
    """Those who predict, and the rules for what they have predicted.

    Attributes:
        members: their mean probability on the image's own grid decides.
        rules: postprocessing of the label maps.
    """

    members: tuple[Predictor, ...]
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        """Refuses members that see other channels or mean other labels, and rules for others.

        Raises:
            ModelError: they do.
            PlanError: a rule is for something they do not predict.
        """
        first, *others = (one.model.plan.dataset for one in self.members)
        if not all(first.is_like(other) for other in others):
            raise ModelError(f"{self.stages}: trained on other channels or labels. Average models of one dataset.")
        must_fit(self.rules, self.labels)

    @property
    def stages(self) -> str:
        """What the members are called."""
        return " + ".join(one.model.stage for one in self.members)

    @property
    def channels(self) -> tuple[str, ...]:
        """What an image must have."""
        return self.members[0].model.plan.dataset.channels

    @property
    def labels(self) -> Labels:
        """What the values of a prediction mean."""
        return self.members[0].model.plan.dataset.labels

    def prepare(self, image: Image) -> Seen:
        """The image as the first member sees it.

        Where another stage predicts it first, it stays as the file has it: only one image at a time is predicted.
        """
        return image if self.members[0].previous is not None else self.members[0].prepare(image)

    def predict(
        self, case: Case, seen: Seen, probabilities: bool, folder: Path, disk: Path | None, step: Step, files: ExitStack
    ) -> Prediction:
        """Predicts a case, and applies the rules.

        Args:
            case: the case; members after the first read its image again.
            seen: its image, from `prepare`.
            probabilities: return them too, as they were before any rule.
            folder: on whose disk the probabilities are, for they may be larger than the memory.
            disk: a folder on whose disk sums of logits are kept, in place of memory.
            step: told of every finished share of the case.
            files: the probabilities are there until it is closed.

        Raises:
            DatasetError: the image cannot be read.
            ModelError: the memory does not hold what is needed, or the logits are not finite.
        """
        filled = None
        if probabilities or needs_probabilities(self.rules):
            filled = files.enter_context(mapped_array(folder, (self.labels.outputs, *_native_shape(seen))))
        if len(self.members) == 1:
            found = _predict(self.members[0], case.name, seen, False if filled is None else filled, disk, step)
        else:
            found = _predict_mean(self, case, seen, filled, folder, disk, step)
        label_map = apply(self.rules, found.label_map, found.grid.spacing_mm, self.labels, found.probabilities)
        return Prediction(label_map, found.grid, found.probabilities if probabilities else None)


def _predict(
    member: Predictor, name: str, seen: Seen, probabilities: bool | NDArray[Any], disk: Path | None, step: Step | None
) -> Prediction:
    """What one member says, the stages that it builds on first."""
    array, placement = member.prepare(seen, step, disk, name) if isinstance(seen, Image) else seen
    return member.predict_prepared(array, placement, probabilities, scaled(step, 1 / len(member.chain)), disk)


def _predict_mean(
    team: Team, case: Case, seen: Seen, mean: NDArray[np.float32] | None, folder: Path, disk: Path | None, step: Step
) -> Prediction:
    """What the members say goes into files, on the image's own grid, and is averaged there."""
    shape, part = (team.labels.outputs, *_native_shape(seen)), scaled(step, 1 / len(team.members))
    with ExitStack() as files:
        said = [files.enter_context(mapped_array(folder, shape, np.float16)) for _ in team.members]
        for number, (member, probabilities) in enumerate(zip(team.members, said, strict=True)):
            image = seen if number == 0 else read_image(*case.images)
            grid = _predict(member, case.name, image, probabilities, disk, part).grid
        return Prediction(mean_label_map(said, team.labels, mean), grid, mean)


def _native_shape(seen: Seen) -> tuple[int, int, int]:
    """Voxels of the image in its file, (z, y, x)."""
    return seen.grid.shape if isinstance(seen, Image) else seen[1].native_shape
