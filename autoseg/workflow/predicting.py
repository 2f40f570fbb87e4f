"""The model that a path stands for, whichever kind of path it is.

Comes in: the folder of a fold, a stage, a plan's models, or a workspace. Goes out: a team of predictors, with the
postprocessing that goes with them.
"""

from __future__ import annotations

import logging
from pathlib import Path

from autoseg.errors import ModelError
from autoseg.inference.predictor import Predictor
from autoseg.inference.team import Team
from autoseg.workflow.selection import find_selection, read_selection

logger = logging.getLogger(__name__)


def load_team(path: Path, device: str = "auto", mirror: bool = True) -> Team:
    """Loads what predicts.

    Args:
        path: the folder of a fold, or of a stage, whose trained folds are averaged; or of a workspace or of a plan's
            models (…/models/PLAN), of which the selected one is loaded with its postprocessing.
        device: "auto", "cpu", "cuda", "mps".
        mirror: test-time augmentation.

    Raises:
        ModelError: a model is not there or cannot be read, or those selected do not belong together.
        WorkspaceError: nothing is selected in the workspace yet, or by several plans.
    """
    file = find_selection(path)
    if file is None:
        predictor = Predictor.load(path, device, mirror)
        return Team((predictor,), predictor.stage.postprocessing)
    selection = read_selection(file)
    stages = selection.chosen.stages
    if absent := [stage for stage in stages if not (file.parent / stage).is_dir()]:
        raise ModelError(f"{file}: selects '{absent[0]}', which is not beside it. Run 'autoseg select DATASET' again.")
    logger.info("%s: %s, as selected", file.parent, selection.chosen.name)
    predictors = tuple(Predictor.load(file.parent / stage, device, mirror) for stage in stages)
    # Of a pair, whose stages' rules are for what each predicts alone, only what was learnt for it.
    planned = predictors[0].stage.postprocessing if len(predictors) == 1 else ()
    return Team(predictors, planned + selection.postprocessing.rules)
