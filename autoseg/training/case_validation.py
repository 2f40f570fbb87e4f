"""The final validation: whole cases, on their own grids, as at test time.

Comes in: a trained model and prepared validation cases. Goes out: `validation/NAME.nii.gz` a case,
and their scores. Predictions that are there are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autoseg.dataset import named_like, write_label_map
from autoseg.evaluation import SCORES_FILE, Scores, evaluate
from autoseg.inference.predictor import Predictor
from autoseg.inference.way import disk_if_needed
from autoseg.preprocessing import PreparedCase
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
            target = folder / named_like(case.name, _label_file(case))
            if not target.is_file():
                disk = disk_if_needed(predictor, case.placement, folder)
                found = predictor.predict_and_finish(*predictor.read(case), disk=disk)
                write_label_map(target, found.label_map, found.grid)
            step(1, case.name)
    references = {case.name: _label_file(case) for case in cases}
    scores = evaluate(folder, references, predictor.model.plan.dataset.labels)
    scores.write(folder / SCORES_FILE)
    return scores


def _label_file(case: PreparedCase) -> Path:
    return Path(case.record.sources[-1].path)
