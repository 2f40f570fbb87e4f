"""Where things lie on disk.

WORKSPACE/
  fingerprint.json
  folds.json
  plans/NAME.json
  prepared/KEY/…                 KEY = hash of what decides the arrays; plans that agree share it
  models/NAME/STAGE/fold_0/      weights.safetensors  model.json  log.jsonl  progress.png
                                 resume.pt  validation/…  validation.png
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autoseg.dataset import Fold
from autoseg.errors import WorkspaceError
from autoseg.files import read_json, write_json
from autoseg.plan import Plan, read_plan
from autoseg.preprocessing import prepared_key


class Workspace:
    """A folder that holds everything derived from one dataset.

    Args:
        path: the folder; it is made when something is written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"Workspace({str(self.path)!r})"

    @property
    def fingerprint_file(self) -> Path:
        """The dataset's fingerprint."""
        return self.path / "fingerprint.json"

    @property
    def plans_folder(self) -> Path:
        """All plans."""
        return self.path / "plans"

    def plan_file(self, name: str) -> Path:
        """A plan."""
        return self.plans_folder / f"{name}.json"

    def prepared_folder(self, plan: Plan, stage: str) -> Path:
        """The prepared arrays of a stage."""
        key = prepared_key(plan.stages[stage].preprocessing, plan.dataset.labels)
        return self.path / "prepared" / key

    def stage_folder(self, plan: Plan, stage: str) -> Path:
        """The models of a stage, one folder a fold."""
        return self.path / "models" / plan.name / stage

    def fold_folder(self, plan: Plan, stage: str, fold: int | str) -> Path:
        """One model."""
        return self.stage_folder(plan, stage) / f"fold_{fold}"

    def has_models(self, plan_name: str) -> bool:
        """Whether training by a plan has begun."""
        return any((self.path / "models" / plan_name).glob("*/fold_*/*"))

    def read_plan(self, name: str = "default") -> Plan:
        """Reads a plan of this workspace.

        Raises:
            WorkspaceError: there is none of that name.
        """
        path = self.plan_file(name)
        if not path.is_file():
            there = sorted(file.stem for file in path.parent.glob("*.json"))
            listed = (
                f"There is: {', '.join(there)} (--plan NAME)." if there else "Derive one with 'autoseg plan DATASET'."
            )
            raise WorkspaceError(f"{self.path}: no plan '{name}' in this workspace. {listed}")
        return read_plan(path)

    def write_folds(self, folds: Sequence[Fold]) -> None:
        """Records which cases each fold trains on and validates on."""
        data = [{"training": list(fold.training), "validation": list(fold.validation)} for fold in folds]
        write_json(self.path / "folds.json", {"format": 1, "folds": data})

    def read_fold(self, fold: int | str) -> Fold:
        """The cases of a fold, as `find_fold` finds them.

        Raises:
            WorkspaceError: nothing was preprocessed yet, the record is broken, or there is no such fold.
        """
        path = self.path / "folds.json"
        if not path.is_file():
            raise WorkspaceError(f"{self.path}: nothing is preprocessed here. Run 'autoseg preprocess DATASET' first.")
        data = read_json(path, WorkspaceError)
        try:
            folds = [Fold(tuple(one["training"]), tuple(one["validation"])) for one in data["folds"]]
        except (KeyError, TypeError):
            raise WorkspaceError(f"{path}: not a record of folds. Run 'autoseg preprocess DATASET' again.") from None
        return find_fold(folds, fold)


def find_fold(folds: Sequence[Fold], fold: int | str) -> Fold:
    """The fold of that number; "all" trains on every case and validates on none.

    Raises:
        WorkspaceError: there is no such fold.
    """
    if fold == "all":
        return Fold(tuple(sorted({name for one in folds for half in one for name in half})), ())
    if not isinstance(fold, int) or not 0 <= fold < len(folds):
        raise WorkspaceError(f"no fold {fold}: this dataset has folds 0 to {len(folds) - 1}, and 'all'.")
    return folds[fold]


def find_stage(plan: Plan, stage: str | None) -> str:
    """The stage of that name; without a name, 3d_fullres or else the first.

    Raises:
        WorkspaceError: the plan has no such stage.
    """
    if stage is None:
        return "3d_fullres" if "3d_fullres" in plan.stages else next(iter(plan.stages))
    if stage not in plan.stages:
        raise WorkspaceError(f"plan '{plan.name}' has no stage '{stage}'. There is: {', '.join(plan.stages)}.")
    return stage
