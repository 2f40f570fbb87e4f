"""The best of a plan's models: single stages and pairs of them, on cases that they were not fitted to.

Comes in: a dataset, a plan, a workspace with trained folds. Goes out: `Selection`, also as selection.json. What is
there already is not made again.

Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, Methods: by mean foreground Dice in cross-validation,
pairs by averaged probabilities.
"""

from __future__ import annotations

import itertools
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoseg.dataset import Dataset
from autoseg.errors import WorkspaceError
from autoseg.evaluation import SCORES_FILE, Scores, label_maps, read_scores
from autoseg.evaluation.intervals import paired_difference
from autoseg.files import content_hash, read_json
from autoseg.inference.model import DESCRIPTION, read_model
from autoseg.phrases import listed, numbered
from autoseg.plan import Plan
from autoseg.postprocessing import LearningCase, learn_rules
from autoseg.progress import Progress, silent
from autoseg.workflow.facts import must_belong
from autoseg.workflow.pairing import predict_pair
from autoseg.workflow.selection import Candidate, Selection, read_selection, write_selection
from autoseg.workflow.trained import SCORES, VALIDATION, trained_folds
from autoseg.workflow.workspace import Workspace

logger = logging.getLogger(__name__)

TIE = 1e-9  # Dice that is no difference


class Compared(NamedTuple):
    """What is compared.

    Attributes:
        stages: in the plan's order.
        folds: that all of them have.
        left_out: stage → the folds that it lacks.
    """

    stages: tuple[str, ...]
    folds: tuple[int, ...]
    left_out: dict[str, tuple[int, ...]]


def select(
    dataset: Dataset,
    plan: Plan,
    workspace: Workspace,
    device: str | None = None,
    processes: int | None = None,
    progress: Progress = silent,
) -> Selection:
    """Compares stages and pairs of stages, takes the best, and learns postprocessing for it.

    Stages with all folds are compared; where none has all, those with some, over the folds that they share. Of equally
    good ones the simpler is taken: a single stage, then the first in the plan.

    Args:
        dataset: has the true label maps.
        plan: has the stages.
        workspace: has their models, and their predictions of validation cases.
        device: for predicting these with probabilities, which pairs need; None for the plan's.
        processes: that score.
        progress: told of every case.

    Raises:
        WorkspaceError: no fold is trained, a model or its scores are of other cases than the fold has, or the
            workspace is another dataset's.
        ModelError: what a model says of itself is broken.
        DatasetError: a case was predicted twice, in files of two endings.
    """
    must_belong(dataset, workspace)
    compared = find_compared(plan, workspace)
    _must_be_of_folds(plan, workspace, compared)
    made_from = _made_from(plan, workspace, compared)
    path = workspace.selection_file(plan.name)
    if path.is_file() and (before := read_selection(path)).made_from == made_from:
        _forget_probabilities(plan, workspace)
        return before
    references = {case.name: case.label for case in dataset.cases if case.label is not None}
    _must_have(references, compared.folds, workspace)
    scores: dict[tuple[str, ...], Scores] = {}
    predicted: dict[tuple[str, ...], dict[str, Path]] = {}
    for stage in compared.stages:
        folders = [workspace.fold_folder(plan, stage, fold) / VALIDATION for fold in compared.folds]
        scores[stage,] = merge_scores([read_scores(folder / SCORES_FILE) for folder in folders])
        maps = [label_maps(folder, "predictions") for folder in folders]
        predicted[stage,] = {name: file for one in maps for name, file in one.items()}
    for pair in itertools.combinations(compared.stages, 2):
        folder = predict_pair(plan, pair, compared.folds, workspace, references, device, processes, progress)
        scores[pair], predicted[pair] = read_scores(folder / SCORES_FILE), label_maps(folder, "predictions")
    candidates = rank(scores)
    chosen = predicted[candidates[0].stages]
    cases = [LearningCase(name, chosen[name], references[name]) for name in sorted(chosen)]
    selection = Selection(
        plan=plan.name,
        folds=compared.folds,
        cases=len(cases),
        left_out=compared.left_out,
        candidates=tuple(candidates),
        postprocessing=learn_rules(cases, plan.dataset.labels, processes, progress),
        made_from=made_from,
    )
    write_selection(path, selection)
    _forget_probabilities(plan, workspace)
    return selection


def find_compared(plan: Plan, workspace: Workspace) -> Compared:
    """The stages and folds that can be compared.

    Raises:
        WorkspaceError: there is no trained and scored fold.
    """
    there = {name: trained_folds(workspace, plan, name) for name in plan.stages}
    every = workspace.fold_numbers()
    if not any(there.values()):
        raise WorkspaceError(
            f"{workspace.path}: no fold of plan '{plan.name}' is trained and scored, so there is nothing to select "
            "from. Run 'autoseg run DATASET' or 'autoseg train DATASET' first."
        )
    most = max(there.values(), key=len)
    shared = set(most)
    stages = [name for name, folds in there.items() if set(folds) >= shared]
    if shared != set(every):
        logger.warning(
            "warning: no stage has all %d folds; comparing by %s alone", len(every), numbered("fold", sorted(shared))
        )
    left_out = {name: tuple(sorted(shared - set(folds))) for name, folds in there.items() if name not in stages}
    for name, lacking in left_out.items():
        logger.warning("leaving out %s: %s not trained", name, numbered("fold", lacking))
    return Compared(tuple(stages), tuple(sorted(shared)), left_out)


def merge_scores(parts: Sequence[Scores]) -> Scores:
    """Scores of all cases, each fold's own; of a case that is in several folds, the last."""
    cases = {name: measures for part in parts for name, measures in part.cases.items()}
    return parts[0].model_copy(update={"cases": cases})


def rank(scores: Mapping[tuple[str, ...], Scores]) -> list[Candidate]:
    """The best first, the others by their mean; each with its paired difference from the best.

    Args:
        scores: stages → scores of the same cases; of equally good ones the first with the fewest stages is the best.
    """
    means = {stages: one.overall() for stages, one in scores.items()}
    simple_first = sorted(scores, key=len)
    best = simple_first[0]
    for stages in simple_first[1:]:
        if (means[stages].mean or 0.0) > (means[best].mean or 0.0) + TIE:
            best = stages
    rest = sorted((one for one in simple_first if one != best), key=lambda one: -(means[one].mean or 0.0))
    ranked = []
    for stages in (best, *rest):
        mean, behind = means[stages], paired_difference(_dice(scores[best]), _dice(scores[stages], scores[best]))
        ranked.append(
            Candidate(
                stages=stages,
                mean=mean.mean,
                low=mean.low,
                high=mean.high,
                per_target=scores[stages].per_target,
                behind=behind.mean,
                behind_low=behind.low,
                behind_high=behind.high,
            )
        )
    return ranked


def _must_have(references: Mapping[str, Path], folds: Sequence[int], workspace: Workspace) -> None:
    """Refuses a dataset that lost cases which models were validated on."""
    names = {name for fold in folds for name in workspace.read_fold(fold).validation}
    if lost := sorted(names - set(references)):
        raise WorkspaceError(
            f"{workspace.path}: models were validated on {listed(lost)}, which the dataset has no label map of "
            "any more. Restore the files, or train again in another workspace (-w DIR)."
        )


def _must_be_of_folds(plan: Plan, workspace: Workspace, compared: Compared) -> None:
    """Refuses models of other folds: what they validate on, others may have learnt from."""
    for stage, fold in itertools.product(compared.stages, compared.folds):
        folder, cases = workspace.fold_folder(plan, stage, fold), workspace.read_fold(fold)
        model, scores = read_model(folder), read_scores(folder / SCORES)
        if set(model.training_cases) != set(cases.training) or set(model.validation_cases) != set(cases.validation):
            raise WorkspaceError(
                f"{folder}: this model was trained on other cases than fold {fold} has in {workspace.folds_file}. "
                "Restore that file; or, for a model of these folds, remove the folder and run 'autoseg run DATASET'."
            )
        if not {*scores.cases, *scores.unpredicted} == set(cases.validation):
            raise WorkspaceError(
                f"{folder / SCORES}: scores of other cases than fold {fold} validates on. Remove the file and run "
                "'autoseg run DATASET'."
            )


def _dice(scores: Scores, like: Scores | None = None) -> NDArray[np.float64]:
    """(cases, targets), NaN where a case does not count; the cases in the order of another's."""
    values: NDArray[np.float64] = scores.table().loc[list((like or scores).cases)].to_numpy(np.float64)
    return values


def _forget_probabilities(plan: Plan, workspace: Workspace) -> None:
    """They are many times larger than the label maps, which are there."""
    shutil.rmtree(workspace.probabilities_folder(plan.name), ignore_errors=True)


def _made_from(plan: Plan, workspace: Workspace, compared: Compared) -> str:
    """Hash of what decides a selection: the models, and the scores of their validation cases."""
    models = {
        f"{stage}/{fold}": [
            read_json(workspace.fold_folder(plan, stage, fold) / file, WorkspaceError) for file in (DESCRIPTION, SCORES)
        ]
        for stage in compared.stages
        for fold in compared.folds
    }
    return content_hash([models, compared.left_out])
