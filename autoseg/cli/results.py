"""What is shown of a model when it is trained, and of the best when it is selected: scores, and where to look."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.cli.display import say, show

if TYPE_CHECKING:
    from autoseg.dataset import Dataset
    from autoseg.workflow.selection import Selection
    from autoseg.workflow.workspace import Workspace


def show_model(dataset: Dataset, folder: Path) -> None:
    """Prints the scores of a model's validation cases, and draws some of them."""
    from autoseg.reporting import draw_cases, score_table
    from autoseg.workflow.fitting import validation_scores

    say(f"Model: {folder}")
    scores = validation_scores(folder)
    if scores is None:
        return
    picture = folder / "validation.png"
    if not picture.is_file():
        draw_cases(picture, dataset.cases, folder / "validation", scores, dataset.description.labels)
    show(f"{folder.parent.name}, {folder.name.replace('_', ' ')}, validation cases\n{score_table(scores)}")
    say(f"Pictures: {picture}, {folder / 'progress.png'}")


def show_selection(selection: Selection, workspace: Workspace) -> None:
    """Prints what was compared, and says where the best is."""
    from autoseg.reporting.selection_table import selection_table

    show(selection_table(selection))
    say(f"Selection: {workspace.selection_file(selection.plan)} (autoseg predict {workspace.path} uses it)")
