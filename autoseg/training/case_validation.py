"""The final validation: whole cases, on their own grids, as at test time.

Comes in: a trained model and prepared validation cases. Goes out: `validation/NAME.nii.gz` a case,
and their scores. Predictions that are there are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from autoseg.dataset import split_ending, write_label_map
from autoseg.dataset.description import Description
from autoseg.evaluation import Scores, evaluate
from autoseg.inference import Predictor
from autoseg.networks.fake import previous_channels
from autoseg.plan import Stage
from autoseg.preprocessing import PreparedCase
from autoseg.preprocessing.previous import one_hot
from autoseg.progress import Progress, silent


def validate_cases(
    predictor: Predictor, cases: Sequence[PreparedCase], folder: Path, progress: Progress = silent
) -> Scores:
    """Predicts and scores prepared cases.

    Args:
        predictor: the trained model.
        cases: with label maps, not among those it was fitted to.
        folder: for the predictions and `scores.json`.
        progress: told of every finished case.

    Raises:
        DatasetError: a label map is no longer where it was when the case was prepared.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with progress(f"validating {predictor.model.stage}, fold {predictor.model.fold}", len(cases)) as step:
        for case in cases:
            target = folder / (case.name + split_ending(_label_file(case).name)[1])
            if not target.is_file():
                found = predictor.predict_and_finish(
                    seen_by(case, predictor.stage, predictor.model.plan.dataset), case.placement
                )
                write_label_map(target, found.label_map, found.grid)
            step(1, case.name)
    references = {case.name: _label_file(case) for case in cases}
    scores = evaluate(folder, references, predictor.model.plan.dataset.labels)
    scores.write(folder / "scores.json")
    return scores


def seen_by(case: PreparedCase, stage: Stage, dataset: Description) -> Tensor:
    """What a stage's networks see of a prepared case, (channels, z, y, x).

    In a cascade that is with the prediction of a model that did not see the case either.
    """
    previous = previous_channels(stage, dataset)
    array = case.image()[:]
    if previous:
        array = np.concatenate((array, one_hot(case.previous()[:][0], previous)))
    return torch.from_numpy(array)


def _label_file(case: PreparedCase) -> Path:
    return Path(case.record.sources[-1].path)
