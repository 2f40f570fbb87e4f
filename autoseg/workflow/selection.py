"""`selection.json`: which stage or pair of stages is the best, and what is done to its label maps.

Comes in: what `select` found, or a path. Goes out: the file, or what is in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from autoseg.errors import WorkspaceError
from autoseg.files import read_frozen, write_json
from autoseg.frozen import Frozen
from autoseg.plan.previous import Name
from autoseg.postprocessing import Learnt
from autoseg.workflow.workspace import SELECTION, Workspace, begun_folders


class Candidate(Frozen):
    """A stage, or several whose probabilities are averaged, and how good it is on cases it was not fitted to.

    Attributes:
        stages: names; one, or two.
        mean: mean Dice over targets, each over the cases that count it; None where none counts.
        low: lower end of the 95 % interval of the mean; None with fewer than two cases.
        high: its upper end.
        per_target: the mean Dice of each target; None where no case counts it.
        behind: mean minus that of the chosen one, over the same cases; 0 for the chosen one.
        behind_low: lower end of the 95 % interval of that, the cases resampled in pairs.
        behind_high: its upper end.
    """

    stages: tuple[Name, ...] = Field(min_length=1, max_length=2)
    mean: float | None
    low: float | None
    high: float | None
    per_target: dict[str, float | None]
    behind: float | None = None
    behind_low: float | None = None
    behind_high: float | None = None

    @property
    def name(self) -> str:
        """What it is called: its stages, joined."""
        return " + ".join(self.stages)


class Selection(Frozen):
    """The outcome of a comparison.

    Attributes:
        plan: name of the plan.
        folds: whose validation cases were compared.
        cases: how many these are.
        left_out: stage that was not compared → the folds that it lacks.
        candidates: all that were compared, the chosen one first, then by their mean.
        postprocessing: what was learnt for the chosen one.
        made_from: hash of the models that were compared, and of their validation cases.
    """

    format: Literal[1] = 1
    plan: Name
    folds: tuple[int, ...] = Field(min_length=1)
    cases: int
    left_out: dict[str, tuple[int, ...]] = {}
    candidates: tuple[Candidate, ...] = Field(min_length=1)
    postprocessing: Learnt
    made_from: str

    @property
    def chosen(self) -> Candidate:
        """The best."""
        return self.candidates[0]


def write_selection(path: Path, selection: Selection) -> None:
    """Writes it atomically."""
    write_json(path, selection.model_dump(mode="json"))


def read_selection(path: Path) -> Selection:
    """Reads a selection.

    Raises:
        WorkspaceError: the file is absent or broken.
    """
    remedy = "Remove it and run 'autoseg select DATASET'."
    return read_frozen(Selection, path, WorkspaceError, "a selection of format 1", remedy)


def find_selection(folder: Path) -> Path | None:
    """The selection that a folder stands for: of …/models/PLAN, or of a workspace with one plan that has one.

    Returns:
        None where the folder is neither, such as that of a stage or a fold.

    Raises:
        WorkspaceError: nothing is selected there yet, or by several plans.
    """
    if (folder / SELECTION).is_file():
        return folder / SELECTION
    workspace = Workspace(folder)
    found = workspace.selection_files()
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(str(path.parent) for path in found)
        raise WorkspaceError(f"{folder}: models are selected by {len(found)} plans. Name one: {listed}.")
    if workspace.begun_folders() or begun_folders(folder):
        raise WorkspaceError(
            f"{folder}: no model is selected here yet. Run 'autoseg select DATASET' once models are trained ('autoseg "
            "run DATASET' does both), or name the folder of a stage (…/models/PLAN/STAGE)."
        )
    return None
