"""From an image to its label map, by one model or by all folds of a stage.

Comes in: a model's folder; then images, one after another. Goes out: label maps and, where wanted,
probabilities, each on the image's own grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from autoseg.dataset import Image, files_for
from autoseg.errors import ModelError
from autoseg.fingerprint.orientation import direction
from autoseg.geometry import Grid, plain_grid
from autoseg.inference.cascade import prepare_after, read_prepared
from autoseg.inference.loading import load_networks, model_folders
from autoseg.inference.mapped import mapped_array, release
from autoseg.inference.model import Model
from autoseg.inference.sliding_window import predict_rows
from autoseg.networks.devices import find_device
from autoseg.phrases import by, counted
from autoseg.plan import Stage
from autoseg.plan.postprocessing import needs_probabilities
from autoseg.postprocessing import apply
from autoseg.preprocessing import Placement, PreparedCase, prepare_image
from autoseg.preprocessing.restoring import Restorer
from autoseg.progress import Step, scaled


class Prediction(NamedTuple):
    """What a predictor says of an image.

    Attributes:
        label_map: values as in the dataset's label files, (z, y, x) on the image's own grid.
        grid: of the image.
        probabilities: (outputs, z, y, x), one channel a class (background first) or region;
            None unless asked for.
    """

    label_map: NDArray[np.integer]
    grid: Grid
    probabilities: NDArray[np.floating] | None


@dataclass(frozen=True)
class Predictor:
    """A model in memory, ready for any number of images.

    Attributes:
        model: what it is.
        networks: one a fold, in evaluation mode on `device`.
        device: where it computes.
        mirror: test-time augmentation by mirroring, as the plan says.
        previous: of the stage whose prediction this one builds on, with all its folds; None where it sees the image
            alone.
    """

    model: Model
    networks: tuple[nn.Module, ...]
    device: torch.device
    mirror: bool = True
    previous: Predictor | None = None

    @staticmethod
    def load(folder: str | Path, device: str = "auto", mirror: bool = True) -> Predictor:
        """Loads the model of a fold's folder, or of a stage's folder with all its trained folds.

        A stage that builds on another brings that one along, from the folder beside its own.

        Args:
            folder: …/models/PLAN/STAGE/fold_0, or …/models/PLAN/STAGE.
            device: "auto", "cpu", "cuda", "mps".
            mirror: test-time augmentation; without it prediction is several times faster.

        Raises:
            ModelError: no model there, it cannot be read, the folds do not belong together, or the stage that it builds
                on is not there.
        """
        folders = model_folders(Path(folder))
        chosen = find_device(device)
        model, networks = load_networks(folders, chosen)
        previous = model.plan.stages[model.stage].previous
        if previous is None:
            return Predictor(model, networks, chosen, mirror)
        first = _load_previous(folders[0], model, previous.stage, str(chosen), mirror)
        return Predictor(model, networks, chosen, mirror, first)

    @property
    def stage(self) -> Stage:
        """The stage of the plan that the networks belong to."""
        return self.model.plan.stages[self.model.stage]

    @property
    def chain(self) -> tuple[Predictor, ...]:
        """The predictors that an image passes through, this one last."""
        return (*(self.previous.chain if self.previous is not None else ()), self)

    def predict(
        self,
        image: Image | NDArray[np.generic],
        spacing_mm: Sequence[float] | None = None,
        probabilities: bool = False,
        step: Step | None = None,
    ) -> Prediction:
        """Segments one image; the plan's postprocessing is done.

        Args:
            image: from `autoseg.read_image`, or an array (z, y, x) or (channels, z, y, x); an array is
                taken to lie as the plan's `preprocessing.orientation` wants images, so it is not turned.
            spacing_mm: voxel size (z, y, x), mm; needed with an array.
            probabilities: return them too.
            step: told of every finished share of the image.

        Raises:
            ModelError: the image has not the channels the model was trained on.
        """
        share = scaled(step, 1 / len(self.chain))
        array, placement = self.prepare(_as_image(image, spacing_mm, self.stage.preprocessing.orientation), step)
        return self.predict_and_finish(array, placement, probabilities, share)

    def prepare(
        self, image: Image, step: Step | None = None, disk: Path | None = None, name: str = ""
    ) -> tuple[Tensor, Placement]:
        """What the networks see of an image, (channels, z, y, x), and where it lies in the image.

        Where the stage builds on another, that one predicts the image first.

        Args:
            image: in the file's intensities.
            step: told of the share of the image's whole prediction that the stages before this one are.
            disk: as for `predict_prepared`.
            name: of the case, for what is said of it.

        Raises:
            ModelError: the image has not the channels the model was trained on.
        """
        expected = self.model.plan.dataset.channels
        if len(image.array) != len(expected):
            raise ModelError(
                f"the image has {counted(len(image.array), 'channel')}; the model was trained on {len(expected)} "
                f"({', '.join(expected)}). {files_for(expected)}"
            )
        if self.stage.previous is None:
            array, placement = prepare_image(image, self.stage.preprocessing)
            return torch.from_numpy(array), placement
        assert self.previous is not None
        part = scaled(step, 1 / len(self.chain))
        seen, where = self.previous.prepare(image, scaled(step, 1 - 1 / len(self.chain)), disk, name)
        prediction = self.previous.predict_and_finish(seen, where, step=part, disk=disk).label_map
        del seen
        array, placement = prepare_after(image, prediction, self.stage, self.model.plan.dataset, name)
        return torch.from_numpy(array), placement

    def read(self, case: PreparedCase) -> tuple[Tensor, Placement]:
        """What the networks see of a prepared case, (channels, z, y, x), and where it lies in the image."""
        return torch.from_numpy(read_prepared(case, self.stage, self.model.plan.dataset)), case.placement

    def predict_and_finish(
        self,
        array: Tensor,
        placement: Placement,
        probabilities: bool = False,
        step: Step | None = None,
        disk: Path | None = None,
    ) -> Prediction:
        """The same as `predict_prepared`, and then the plan's postprocessing of the label map.

        Raises:
            ModelError: as there.
        """
        rules, labels = self.stage.postprocessing, self.model.plan.dataset.labels
        shape = (labels.outputs, *placement.native_shape)
        with ExitStack() as files:
            needed: bool | NDArray[np.floating] = probabilities or needs_probabilities(rules)
            if needed and not probabilities and disk is not None:
                needed = files.enter_context(mapped_array(disk, shape))
            found = self.predict_prepared(array, placement, needed, step, disk)
            label_map = apply(rules, found.label_map, found.grid.spacing_mm, labels, found.probabilities)
        return Prediction(label_map, found.grid, found.probabilities if probabilities else None)

    def predict_prepared(
        self,
        array: Tensor,
        placement: Placement,
        probabilities: bool | NDArray[np.floating] = False,
        step: Step | None = None,
        disk: Path | None = None,
    ) -> Prediction:
        """Segments an image that is preprocessed already; see `predict`. No rule changes what the network says.

        Rows of the image are decided one after the other, so the logits of the whole image are never in memory.

        Args:
            array: (channels, z, y, x), as `prepare` or `read` returns it.
            placement: where it lies in the image.
            probabilities: return them too; an array (outputs, z, y, x) on the image's own grid, such as a file mapped
                into memory, is filled.
            step: told of every finished share of the image.
            disk: a folder on whose disk sums of logits are kept, in place of memory.

        Raises:
            ModelError: the memory does not hold what is needed, or the logits are not finite.
        """
        labels = self.model.plan.dataset.labels
        if probabilities is True:
            probabilities = np.empty((labels.outputs, *placement.native_shape), dtype=np.float32)
        filled = None if probabilities is False else probabilities
        restorer = Restorer(placement, labels, filled, self.stage.inference.return_order)
        try:
            for rows in predict_rows(self.networks, array, self.stage, labels, self.device, self.mirror, step, disk):
                _check_finite(rows)
                _restore(restorer, rows)
                if filled is not None:
                    release(filled)
                del rows  # their memory is that of the sums, which may have to leave the GPU before the next
        except torch.OutOfMemoryError:
            raise _too_large(self.stage) from None
        return Prediction(restorer.label_map, placement.grid, filled)


def _load_previous(folder: Path, model: Model, stage: str, device: str, mirror: bool) -> Predictor:
    """The predictor of the stage that a model builds on, all its folds together.

    Args:
        folder: of a fold of the model.
        model: that builds on it.
        stage: name of the stage it builds on.
        device: where to compute.
        mirror: test-time augmentation.

    Raises:
        ModelError: it is not beside the model's own stage, or is for other images.
    """
    place = folder.resolve().parent.parent / stage
    try:
        first = Predictor.load(place, device, mirror)
    except ModelError as problem:
        raise ModelError(
            f"{folder}: {model.stage} builds on what {stage} predicts, and there is no model of it to use in {place}: "
            f"{problem}\nKeep the folders of both stages side by side, as in …/models/PLAN: copy the whole folder, or "
            "train the stage."
        ) from None
    theirs, ours = first.model.plan.dataset, model.plan.dataset
    if not theirs.is_like(ours):
        raise ModelError(
            f"{place}: is for {theirs.described()}, but {folder} builds on it with {ours.described()}. Bring the "
            "model that it was trained with."
        )
    return first


def _check_finite(rows: Tensor) -> None:
    if not all(bool(torch.isfinite(extreme)) for extreme in torch.aminmax(rows)):
        raise ModelError("the network returned NaN or infinity. Look for NaN or extreme values in the image.")


def _restore(restorer: Restorer, rows: Tensor) -> None:
    """Adds rows; on the host where the GPU's memory is too small for that."""
    try:
        return restorer.add(rows)
    except torch.OutOfMemoryError:
        if rows.device.type == "cpu":
            raise
    restorer.add(rows.cpu())


def _too_large(stage: Stage) -> ModelError:
    return ModelError(
        f"the GPU's memory ran out in a single window of {by(stage.sampling.patch_size)} voxels. Predict on the "
        "processor (--device cpu), or end what else uses the GPU."
    )


def _as_image(image: Image | NDArray[np.generic], spacing_mm: Sequence[float] | None, orientation: str | None) -> Image:
    if isinstance(image, Image):
        return image
    array = np.asarray(image, dtype=np.float32)
    array = array[None] if array.ndim == 3 else array
    if array.ndim != 4 or not array.size or spacing_mm is None or len(spacing_mm) != 3 or min(spacing_mm) <= 0:
        raise ModelError(
            f"an array of shape {np.shape(image)} with spacing {spacing_mm}: expected (z, y, x) or (channels, z, y, x) "
            "voxels and spacing_mm=(z, y, x)."
        )
    z, y, x = array.shape[1:]
    grid = plain_grid((z, y, x), (float(spacing_mm[0]), float(spacing_mm[1]), float(spacing_mm[2])))
    return Image(array, grid if orientation is None else grid._replace(direction=direction(orientation)))
