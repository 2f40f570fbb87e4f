"""What is shown of models: those to train, each when it is trained, and the best when it is selected."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.cli.display import say, show
from autoseg.phrases import counted, in_time

if TYPE_CHECKING:
    from autoseg.dataset import Dataset
    from autoseg.plan import Plan
    from autoseg.workflow.pipeline import ModelJob
    from autoseg.workflow.selection import Selection
    from autoseg.workflow.status import Forecast
    from autoseg.workflow.workspace import Workspace

PICTURE = "validation.png"  # in a fold's folder, of some of its validation cases


def show_jobs(todo: Sequence[ModelJob], plan: Plan, space: Workspace, selects: bool) -> None:
    """A line a model, and about how long the rest will take."""
    from autoseg.workflow.status import forecast
    from autoseg.workflow.trained import validation_scores

    for job in todo:
        length = plan.stages[job.stage].training
        count, unit = (length.minutes, "minute") if length.minutes else (length.epochs, "epoch")
        scores = validation_scores(space.fold_folder(plan, job.stage, job.fold)) if job.done else None
        dice = "" if scores is None or scores.mean is None else f", Dice {scores.mean:.3f}"
        say(f"  {job.name}: {f'trained already{dice}' if job.done else f'to train, {counted(count, unit)}'}")
    if undone := [job.stage for job in todo if not job.done]:
        stages = list(dict.fromkeys(job.stage for job in todo))
        say(f"  {time_needed(forecast(space, plan, undone, stages if selects and len(stages) > 1 else ()))}")


def time_needed(found: Forecast) -> str:
    """A forecast in words; what nobody knows is named."""
    told = {
        "training in all": found.training,
        "validation": found.validation,
        "predictions for pairs of stages": found.pairs,
    }
    known = [f"{in_time(minutes)} of {what}" for what, minutes in told.items() if minutes]
    about = f"about {', '.join(known)}; " if known else ""
    return f"{about}not counted: {', '.join(found.unknown)}"


def show_model(dataset: Dataset, folder: Path) -> None:
    """Prints the scores of a model's validation cases, and draws some of them."""
    from autoseg.inference.model import CURVES
    from autoseg.reporting import draw_cases, score_table
    from autoseg.workflow.trained import PICTURE, VALIDATION, validation_scores

    say(f"Model: {folder}")
    scores = validation_scores(folder)
    if scores is None:
        return
    picture = folder / PICTURE
    if not picture.is_file():
        draw_cases(picture, dataset.cases, folder / VALIDATION, scores, dataset.description.labels)
    show(f"{folder.parent.name}, {folder.name.replace('_', ' ')}, validation cases\n{score_table(scores)}")
    say(f"Pictures: {picture}, {folder / CURVES}")


def show_selection(selection: Selection, workspace: Workspace) -> None:
    """Prints what was compared, and says where the best is."""
    from autoseg.reporting.selection_table import selection_table

    show(selection_table(selection))
    say(f"Selection: {workspace.selection_file(selection.plan)} (autoseg predict {workspace.path} uses it)")
