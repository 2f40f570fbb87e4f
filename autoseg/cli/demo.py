"""`autoseg demo`: everything once, on a dataset made up for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from autoseg.cli.display import complain, progress, say, set_verbosity, show
from autoseg.cli.options import Quiet, Verbose, time_enough
from autoseg.cli.results import show_model, show_selection

STAGE = "3d_fullres"
CASES, TEST_CASES = 20, 4


def demo(
    folder: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where to put it all.")] = Path(
        "autoseg-demo"
    ),
    minutes: Annotated[float, typer.Option(metavar="M", callback=time_enough, help="Training time.")] = 2.5,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Makes up a small CT-like dataset and runs everything on it, on the CPU, in minutes.

    Two kidneys, tumours on some of them: plan, train one fold, learn postprocessing, predict new images, score them.
    """
    set_verbosity(quiet, verbose)
    from autoseg.dataset import Dataset, generate_kidneys
    from autoseg.evaluation import SCORES_FILE, evaluate
    from autoseg.inference.folder import predict_cases
    from autoseg.inference.model import CURVES
    from autoseg.reporting import draw_cases, score_table
    from autoseg.workflow.pipeline import ModelJob, plan_dataset, run_job
    from autoseg.workflow.predicting import load_team
    from autoseg.workflow.request import Request
    from autoseg.workflow.selecting import select
    from autoseg.workflow.workspace import Workspace

    path = folder / "kidneys"
    made = (path / "dataset.json").is_file()
    dataset = Dataset.open(path) if made else generate_kidneys(path, CASES, TEST_CASES)
    say(f"Dataset: {path} ({len(dataset.cases)} training cases, {len(dataset.test_cases)} new ones)")
    workspace = Workspace(folder / "work")
    plan = plan_dataset(dataset, workspace, Request(device="cpu", minutes=minutes), progress=progress)
    model = run_job(ModelJob(STAGE, 0, done=False), dataset, plan, workspace, progress=progress)
    show_model(dataset, model)
    show_selection(select(dataset, plan, workspace, progress=progress), workspace)

    predictions = folder / "predictions"
    outcome = predict_cases(load_team(workspace.path, "cpu"), dataset.test_cases, predictions, progress=progress)
    for failure in outcome.failures:
        complain(failure)
    scores = evaluate(predictions, path / "labelsTs", plan.dataset.labels)
    scores.write(folder / SCORES_FILE)
    truth = [replace(case, label=path / "labelsTs" / f"{case.name}.nii.gz") for case in dataset.test_cases]
    draw_cases(folder / "predictions.png", truth, predictions, scores, plan.dataset.labels)
    show(f"\nNew images\n{score_table(scores)}")
    show(
        f"\nPredictions  {predictions}\nPicture      {folder / 'predictions.png'}\n"
        f"Training     {model / CURVES}\nPlan         {workspace.plan_file('default')}"
    )
