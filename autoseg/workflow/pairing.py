"""What several stages predict together of the validation cases.

Comes in: trained folds of stages. Goes out: a folder of label maps decided by mean probability, and their scores.
What each stage says of a case is kept, compressed, for other pairs; stages of different voxel sizes meet on the
image's own grid. The plan's postprocessing is done that is the same in all of the stages.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from autoseg.dataset import named_like, write_label_map
from autoseg.evaluation import SCORES_FILE, evaluate
from autoseg.files import content_hash, read_json, write_json
from autoseg.inference.averaging import mean_label_map, open_probabilities, write_probabilities
from autoseg.inference.mapped import mapped_array
from autoseg.inference.model import DESCRIPTION
from autoseg.inference.predictor import Predictor
from autoseg.inference.way import disk_if_needed
from autoseg.plan import Plan
from autoseg.plan.postprocessing import needs_probabilities, shared_rules
from autoseg.postprocessing import apply
from autoseg.preprocessing import PreparedCase
from autoseg.progress import Progress, silent
from autoseg.workflow.workspace import Workspace

MADE_FROM = "made_from.json"


def predict_pair(
    plan: Plan,
    stages: Sequence[str],
    folds: Sequence[int],
    workspace: Workspace,
    references: Mapping[str, Path],
    device: str | None = None,
    processes: int | None = None,
    progress: Progress = silent,
) -> Path:
    """Predicts and scores the validation cases of folds by stages together, each case by the folds that do not know it.

    Args:
        plan: has the stages.
        stages: names.
        folds: numbers; trained, of every stage.
        workspace: has their models and prepared cases.
        references: name of a case → its true label map.
        device: None for the plan's.
        processes: that score.
        progress: told of every case.

    Returns:
        The folder of the label maps and of scores.json.
    """
    folder = workspace.ensembles_folder(plan.name) / "+".join(stages)
    _claim(folder, {stage: _models(plan, stage, folds, workspace) for stage in stages})
    names = sorted({name for fold in folds for name in workspace.read_fold(fold).validation})
    targets = {name: folder / named_like(name, references[name]) for name in names}
    if (folder / SCORES_FILE).is_file():
        return folder
    rules, labels = shared_rules([plan.stages[stage].postprocessing for stage in stages]), plan.dataset.labels
    said = [predict_probabilities(plan, stage, folds, workspace, device, progress) for stage in stages]
    placed = {case.name: case for case in workspace.open_prepared(plan, stages[0], names)}
    with progress(f"averaging {' and '.join(stages)}", len(names)) as step:
        for name in names:
            if not targets[name].is_file():
                probabilities = [open_probabilities(files[name]) for files in said]
                grid = placed[name].placement.grid
                with ExitStack() as file:
                    shape = (labels.outputs, *grid.shape)
                    mean = file.enter_context(mapped_array(folder, shape)) if needs_probabilities(rules) else None
                    label_map = apply(rules, mean_label_map(probabilities, labels, mean), grid.spacing_mm, labels, mean)
                write_label_map(targets[name], label_map, grid)
            step(1, name)
    scores = evaluate(folder, {name: references[name] for name in names}, labels, processes, progress)
    scores.write(folder / SCORES_FILE)
    return folder


def predict_probabilities(
    plan: Plan,
    stage: str,
    folds: Sequence[int],
    workspace: Workspace,
    device: str | None = None,
    progress: Progress = silent,
) -> dict[str, Path]:
    """What a stage says of the validation cases of its folds; what is there is not predicted again.

    Returns:
        Name of a case → file for `open_probabilities`.
    """
    folder = workspace.probabilities_folder(plan.name) / stage
    _claim(folder, {stage: _models(plan, stage, folds, workspace)})
    files: dict[str, Path] = {}
    validation = {fold: workspace.read_fold(fold).validation for fold in folds}
    with progress(f"probabilities of {stage}", sum(map(len, validation.values()))) as step:
        for fold, names in validation.items():
            predictor: Predictor | None = None
            for case in workspace.open_prepared(plan, stage, names):
                files[case.name] = folder / f"{case.name}.b2nd"
                if not files[case.name].is_file():
                    where = device or plan.budget.device
                    predictor = predictor or Predictor.load(workspace.fold_folder(plan, stage, fold), where)
                    _predict(predictor, case, files[case.name])
                step(1, case.name)
    return files


def _predict(predictor: Predictor, case: PreparedCase, target: Path) -> None:
    """In a file from the first to the last, for probabilities of many labels do not fit the memory."""
    disk = disk_if_needed(predictor, case.placement, target.parent)
    (array, placement), outputs = predictor.read(case), predictor.model.plan.dataset.labels.outputs
    with mapped_array(target.parent, (outputs, *placement.native_shape), np.float16) as probabilities:
        predictor.predict_prepared(array, placement, probabilities, disk=disk)
        write_probabilities(target, probabilities)


def _models(plan: Plan, stage: str, folds: Sequence[int], workspace: Workspace) -> dict[str, str]:
    """Fold → hash of what its model is, the time of its training included."""
    paths = {str(fold): workspace.fold_folder(plan, stage, fold) / DESCRIPTION for fold in folds}
    return {fold: content_hash(read_json(path)) for fold, path in paths.items()}


def _claim(folder: Path, made_from: Mapping[str, Mapping[str, str]]) -> None:
    """Makes a folder whose content is made from some models, and empties it where it was made from others."""
    record = folder / MADE_FROM
    if record.is_file() and read_json(record) == made_from:
        return
    shutil.rmtree(folder, ignore_errors=True)
    write_json(record, made_from)
