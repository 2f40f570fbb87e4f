"""`autoseg status`: how far a workspace is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autoseg.cli.display import show
from autoseg.cli.options import PlanName, WorkspacePath, open_workspace
from autoseg.errors import AutosegError, WorkspaceError
from autoseg.phrases import in_time

if TYPE_CHECKING:
    from autoseg.workflow.status import JobState
    from autoseg.workflow.workspace import Workspace


def status(
    dataset: Annotated[
        Path | None, typer.Argument(metavar="[DATASET]", help="Whose default workspace is meant, without -w.")
    ] = None,
    workspace: WorkspacePath = None,
    plan: PlanName = "default",
) -> None:
    """Shows what is done, what is next, and how long it may take: a line a model."""
    from autoseg.workflow.selection import read_selection
    from autoseg.workflow.status import list_states

    if dataset is None and workspace is None:
        raise typer.BadParameter("give a workspace (-w DIR), or the dataset whose default workspace is meant")
    space = open_workspace(dataset or Path(), workspace)
    if not space.path.is_dir():
        raise WorkspaceError(f"{space.path}: no such workspace. 'autoseg run DATASET' makes one.")
    data = "DATASET" if dataset is None else str(dataset)
    show(f"fingerprint: {_fingerprint(space)}")
    if not space.plan_file(plan).is_file() and not any(space.plans_folder.glob("*.json")):
        show(f"plan: none yet\nnext: autoseg run {data} -w {space.path}")
        return
    states = list_states(space, chosen := space.read_plan(plan))
    show(f"plan '{plan}': {', '.join(chosen.stages)}")
    if not states:
        show(f"models: nothing is preprocessed yet\nnext: autoseg run {data} -w {space.path} --name {plan}")
        return
    for state in states:
        show(f"{state.stage}, fold {state.fold}: {describe(state)}")
    undone = [state for state in states if state.state != "trained"]
    file = space.selection_file(plan)
    found = read_selection(file) if file.is_file() else None
    show(f"selection: {found.chosen.name if found else 'not made'}")
    if undone:
        known = [state.minutes_left for state in undone if state.minutes_left is not None]
        time = f" (about {in_time(sum(known))}{' and more' * (len(known) < len(undone))})" if known else ""
        show(f"next: autoseg run {data} -w {space.path} --name {plan}{time}")
    elif found is None:
        show(f"next: autoseg select {data} -w {space.path} --plan {plan}")
    else:
        show(f"next: autoseg predict {file.parent} IMAGES -o FOLDER")


def _fingerprint(workspace: Workspace) -> str:
    from autoseg.fingerprint import read_fingerprint

    if not workspace.fingerprint_file.is_file():
        return "to extract"
    try:
        read_fingerprint(workspace.fingerprint_file)
    except AutosegError as problem:
        return f"damaged: {problem}"
    return "extracted"


def describe(state: JobState) -> str:
    """What is said of a model."""
    left = "" if state.minutes_left is None else f", about {in_time(state.minutes_left)}"
    match state.state:
        case "trained":
            return "trained" if state.dice is None else f"trained, Dice {state.dice:.3f}"
        case "begun":
            of = "" if state.epochs is None else f" of {state.epochs}"
            return f"epoch {state.epoch}{of}{f'{left} left' if left else ''}"
        case "to train":
            return f"to train{left}"
        case "damaged":
            return f"damaged: {state.problem}"
