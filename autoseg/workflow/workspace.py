"""Where things lie on disk.

WORKSPACE/
  fingerprint.json
  folds.json
  plans/NAME.json
  prepared/KEY/…                 KEY = hash of what decides the arrays; plans that agree share it
  prepared/KEY/previous/…        what the stage before predicted for these cases
  models/NAME/STAGE/fold_0/      weights.safetensors  model.json  log.jsonl  progress.png
                                 resume.pt  validation/…  validation.png
  models/NAME/selection.json     the best stage or pair of stages, and its postprocessing
  models/NAME/ensembles/A+B/     validation cases as predicted by two stages together, and their scores
  models/NAME/ensembles/probabilities/STAGE/     what each stage says of them, until a selection is made
  models/NAME/logs/JOB.log       what jobs said that were run beside others
  lr_range/NAME/STAGE/           what a learning-rate range test found
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoseg.dataset import Dataset, Fold, make_folds
from autoseg.dataset.folds import ONE_CASE, ONE_CASE_REMEDY
from autoseg.errors import WorkspaceError
from autoseg.files import write_json
from autoseg.inference.model import FOLD
from autoseg.phrases import listed
from autoseg.plan import Plan, read_plan
from autoseg.preprocessing import PreparedCase, open_prepared, prepared_key
from autoseg.workflow.fold_record import Asked, read_fold_record

SELECTION = "selection.json"


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
        """The prepared arrays of a stage; those that no prediction changes are shared by all plans that agree."""
        previous = plan.stages[stage].previous
        changed = None
        if previous is not None and previous.changes_image:
            changed = {"plan": plan.name, **previous.model_dump(mode="json", exclude={"as_channels"})}
        key = prepared_key(plan.stages[stage].preprocessing, plan.dataset.labels, changed)
        return self.path / "prepared" / key

    def previous_folder(self, plan: Plan, stage: str) -> Path:
        """What the stage before a stage predicted for the prepared arrays, as maps of classes."""
        previous = plan.stages[stage].previous
        assert previous is not None
        return self.prepared_folder(plan, stage) / "previous" / plan.name / previous.stage

    def open_prepared(self, plan: Plan, stage: str, names: Sequence[str]) -> list[PreparedCase]:
        """Finds prepared cases of a stage.

        Raises:
            WorkspaceError: a case is not there, or not complete.
        """
        previous = plan.stages[stage].previous
        maps = self.previous_folder(plan, stage) if previous is not None and previous.as_channels else None
        return open_prepared(self.prepared_folder(plan, stage), names, maps)

    @property
    def models_folder(self) -> Path:
        """The models of all plans."""
        return self.path / "models"

    def plan_models_folder(self, plan_name: str) -> Path:
        """All models of a plan."""
        return self.models_folder / plan_name

    def stage_folder(self, plan: Plan, stage: str) -> Path:
        """The models of a stage, one folder a fold."""
        return self.plan_models_folder(plan.name) / stage

    def fold_folder(self, plan: Plan, stage: str, fold: int | str) -> Path:
        """One model."""
        return self.stage_folder(plan, stage) / f"{FOLD}{fold}"

    def fold_folders(self, plan: Plan, stage: str) -> list[Path]:
        """Those that are there."""
        return sorted(self.stage_folder(plan, stage).glob(f"{FOLD}*"))

    def begun_folders(self) -> list[Path]:
        """Of all plans, the folders of the models whose training has begun."""
        return [folder for models in sorted(self.models_folder.glob("*")) for folder in begun_folders(models)]

    def selection_file(self, plan_name: str) -> Path:
        """Which of a plan's models is the best."""
        return self.plan_models_folder(plan_name) / SELECTION

    def selection_files(self) -> list[Path]:
        """Those that are there, one a plan."""
        return sorted(self.models_folder.glob(f"*/{SELECTION}"))

    def ensembles_folder(self, plan_name: str) -> Path:
        """What stages predict together."""
        return self.plan_models_folder(plan_name) / "ensembles"

    def probabilities_folder(self, plan_name: str) -> Path:
        """What each stage says of validation cases, until a selection is made."""
        return self.ensembles_folder(plan_name) / "probabilities"

    def logs_folder(self, plan_name: str) -> Path:
        """What jobs said that had no terminal to themselves."""
        return self.plan_models_folder(plan_name) / "logs"

    def has_models(self, plan_name: str) -> bool:
        """Whether training by a plan has begun."""
        return bool(begun_folders(self.plan_models_folder(plan_name)))

    def lr_range_folder(self, plan: Plan, stage: str) -> Path:
        """What a learning-rate range test found."""
        return self.path / "lr_range" / plan.name / stage

    def read_plan(self, name: str = "default") -> Plan:
        """Reads a plan of this workspace.

        Raises:
            WorkspaceError: there is none of that name.
        """
        path = self.plan_file(name)
        if not path.is_file():
            there = sorted(file.stem for file in path.parent.glob("*.json"))
            remedy = (
                f"There is: {', '.join(there)} (--plan NAME)." if there else "Derive one with 'autoseg plan DATASET'."
            )
            raise WorkspaceError(f"{self.path}: no plan '{name}' in this workspace. {remedy}")
        return read_plan(path)

    @property
    def folds_file(self) -> Path:
        """Which cases each fold trains on and validates on."""
        return self.path / "folds.json"

    def write_folds(self, folds: Sequence[Fold], asked: Mapping[str, Any] | None = None) -> None:
        """Records which cases each fold trains on and validates on.

        Args:
            folds: to record.
            asked: how they were asked for; such folds stay when the dataset is prepared again. None for its own.
        """
        data = [{"training": list(fold.training), "validation": list(fold.validation)} for fold in folds]
        write_json(self.folds_file, {"format": 1, **({"asked": asked} if asked else {}), "folds": data})

    def record_folds(self, dataset: Dataset) -> None:
        """Records the folds a dataset has of itself, unless others were asked for.

        Raises:
            WorkspaceError: they were, when the dataset had other cases; or the record is broken.
        """
        if self._asked_folds(dataset) is None:
            self.write_folds(make_folds(dataset))

    def folds_of(self, dataset: Dataset) -> tuple[Fold, ...]:
        """The folds a dataset is trained in here: its own splits, else those asked for, else nnU-Net's.

        Raises:
            WorkspaceError: folds were asked for when the dataset had other cases; or the record is broken.
        """
        return self._asked_folds(dataset) or make_folds(dataset)

    def read_fold(self, fold: int | str) -> Fold:
        """The cases of a fold, as `find_fold` finds them.

        Raises:
            WorkspaceError: nothing was preprocessed yet, the record is broken, or there is no such fold.
        """
        if not self.folds_file.is_file():
            raise WorkspaceError(f"{self.path}: nothing is preprocessed here. Run 'autoseg preprocess DATASET' first.")
        return find_fold(self._read_folds()[0], fold)

    def fold_numbers(self) -> list[int]:
        """The numbers of the recorded folds; none before anything is preprocessed.

        Raises:
            WorkspaceError: the record is broken.
        """
        return list(range(len(self._read_folds()[0]))) if self.folds_file.is_file() else []

    def _read_folds(self) -> tuple[tuple[Fold, ...], Asked | None]:
        """The recorded folds, and how they were asked for if they were."""
        record = read_fold_record(self.folds_file)
        return tuple(Fold(one.training, one.validation) for one in record.folds), record.asked

    def _asked_folds(self, dataset: Dataset) -> tuple[Fold, ...] | None:
        if dataset.splits is not None or not self.folds_file.is_file():
            return None
        folds, asked = self._read_folds()
        if asked is None:
            return None
        ours, theirs = {case.name for case in dataset.cases}, {name for fold in folds for half in fold for name in half}
        theirs.update(asked.test)
        if ours != theirs:
            changed = listed(sorted(ours ^ theirs))
            raise WorkspaceError(
                f"{self.folds_file}: the folds were asked for when the dataset had other cases; it gained or lost "
                f"{changed}. Ask again (--group-by, --stratify, --split), or remove the file to have nnU-Net's folds."
            )
        return folds


def begun_folders(models: Path) -> list[Path]:
    """The folders, one a stage and fold, of the models whose training has begun, in the folder of a plan's models."""
    return sorted({file.parent for file in models.glob(f"*/{FOLD}*/*")})


def find_fold(folds: Sequence[Fold], fold: int | str) -> Fold:
    """The fold of that number; "all" trains on every case and validates on none.

    Raises:
        WorkspaceError: there is no such fold, or it has nothing to train on.
    """
    if fold == "all":
        return Fold(tuple(sorted({name for one in folds for half in one for name in half})), ())
    if not isinstance(fold, int) or not 0 <= fold < len(folds):
        raise WorkspaceError(f"no fold {fold}: this dataset has folds 0 to {len(folds) - 1}, and 'all'.")
    if not folds[fold].training:
        raise WorkspaceError(f"fold {fold} has nothing to train on: {ONE_CASE}. {ONE_CASE_REMEDY}")
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
