"""The planned configuration and the hand-set ones, all trained for the same minutes and scored on the same cases.

    python benchmarks/planned_vs_hand_set.py DATASET [--minutes 10] [--plans planned residual_unet_3d …]
    python benchmarks/planned_vs_hand_set.py --kits-like [--minutes 10]
    python benchmarks/planned_vs_hand_set.py DATASET --published

The dataset's fold 0 parts its cases: a system learns from the training cases, all of them, and sees nothing of the
validation cases until it is scored on them. The minutes are a whole system's: one of several stages has them in
equal shares, and a stage that others build on has its share in halves, for it is trained twice, on either half of the
training cases, to predict the other half as it will predict new cases. Preparing, predicting and scoring take what they
take. What is set of a hand-set plan for the dataset is decided by the rule in hand_set_settings.py.

With --published each system is trained as long as its paper says and as its plan says, on all folds where the paper had
a cross-validation, and its paper's numbers are set beside: for KiTS19 and a GPU.

Nothing else should run on the machine meanwhile. Interrupted, the same command continues; what is done is not done
again. Writes benchmarks/results/planned_vs_hand_set_DATASET.{json,csv,png,md}, unless no system could be run. Exits
with 1 if one could not, and with 2, before anything is done, if what is asked for makes no sense.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from comparison_page import write_results
from hand_set_settings import settings_for, smaller_batches
from published_systems import PLANNED, PUBLISHED, SYSTEMS, title

import autoseg
from autoseg.cli.display import progress, set_verbosity
from autoseg.dataset import Fold, generate_kidneys, make_folds
from autoseg.errors import AutosegError, PlanError, TrainingStopped
from autoseg.evaluation import SCORES_FILE, Scores, evaluate, read_scores
from autoseg.evaluation.scores import MOST_TOLERANCE_MM
from autoseg.files import read_json, write_json
from autoseg.fingerprint import read_fingerprint
from autoseg.inference.folder import predict_cases
from autoseg.inference.model import LOG, read_model
from autoseg.inference.predictor import Predictor
from autoseg.inference.team import Team
from autoseg.networks import build_network, count_parameters
from autoseg.networks.devices import find_device
from autoseg.plan import Plan
from autoseg.plan.shipped import find_plan
from autoseg.plan.training import LEAST_MINUTES
from autoseg.workflow.out_of_fold import stages_before
from autoseg.workflow.pipeline import list_jobs, plan_dataset, run_job
from autoseg.workflow.planning import plan_in_workspace
from autoseg.workflow.request import Request
from autoseg.workflow.workspace import Workspace, find_stage

HERE = Path(__file__).resolve().parent
KITS_LIKE = Path("autoseg-work/kits_like")
CASCADE = f"{PLANNED}_cascade"
DEFAULT = [PLANNED, *SYSTEMS]
MOST_MINUTES = 1e5  # ten weeks; the names of plans have room for these digits
HALVES, FIFTHS = 2, 5  # models of a stage that others build on, with minutes and without


class Split(NamedTuple):
    """The cases to learn from as a dataset of their own, the cases to score, and where all of it lies."""

    training: autoseg.Dataset
    held_back: autoseg.Dataset
    workspace: Workspace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, nargs="?")
    parser.add_argument("--kits-like", action="store_true", help="on a generated dataset: kidneys, small tumours")
    parser.add_argument("--minutes", type=float, default=10, help="of training, a system [default: 10]")
    parser.add_argument("--plans", nargs="+", default=DEFAULT, help="planned, planned_cascade, plans that ship, files")
    parser.add_argument("--published", action="store_true", help="each system as long as its paper trained it")
    parser.add_argument("--no-tta", action="store_true", help="predict without mirrored views, every system alike")
    parser.add_argument("--device", default=None)
    parser.add_argument("--tolerance", type=float, default=None, help="of surface Dice, mm [default: a coarsest voxel]")
    parser.add_argument("-w", "--workspace", type=Path, default=None)
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results")
    parser.add_argument("--note", default="", help="a sentence for the results: what else ran on the machine")
    arguments = parser.parse_args()
    set_verbosity(quiet=False, verbose=False)
    if (arguments.dataset is None) != arguments.kits_like:
        parser.error("give a DATASET, or --kits-like")
    try:
        check(arguments)
    except AutosegError as problem:
        parser.error(str(problem))
    arguments.dataset = make_kits_like(KITS_LIKE) if arguments.kits_like else arguments.dataset.resolve()
    arguments.workspace = arguments.workspace or Path("autoseg-work/planned_vs_hand_set") / arguments.dataset.name
    if arguments.published:
        arguments.minutes = None
    try:
        whole = compare(arguments)
    except (TrainingStopped, KeyboardInterrupt) as stopped:
        sys.exit(f"{stopped or 'stopped'}\nThe same command continues.")
    sys.exit(0 if whole else 1)


def check(arguments: argparse.Namespace) -> None:
    """Looks at all that is asked for before anything is done.

    Raises:
        AutosegError: a number, the device, a plan or the dataset is none.
    """
    if not LEAST_MINUTES <= arguments.minutes <= MOST_MINUTES:
        raise AutosegError(f"--minutes {arguments.minutes:g}: give {LEAST_MINUTES:g} to {MOST_MINUTES:g} minutes.")
    if arguments.tolerance is not None and not 0 <= arguments.tolerance <= MOST_TOLERANCE_MM:
        raise AutosegError(f"--tolerance {arguments.tolerance:g}: give 0 to {MOST_TOLERANCE_MM:g} mm.")
    find_device(arguments.device or "auto")
    for name in arguments.plans:
        if name not in (PLANNED, CASCADE):
            autoseg.read_plan(find_plan(name))
        if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]{,79}", Path(name).stem):
            raise AutosegError(f"{name}: a file's name becomes a plan's here. Name it in 80 letters, digits and . _ -.")
    if not arguments.kits_like:
        make_folds(autoseg.Dataset.open(arguments.dataset))


def make_kits_like(folder: Path) -> Path:
    """CT of both kidneys at 2.5 × 1 × 1 mm, tumours of about 1/100 of a kidney among bowel as bright as they are."""
    if not (folder / "dataset.json").is_file():  # it is written last
        shape, spacing_mm, tumour_mm = (48, 150, 150), (2.5, 1.0, 1.0), (3.5, 6.0)
        generate_kidneys(folder, cases=30, shape=shape, spacing_mm=spacing_mm, tumour_mm=tumour_mm)
    return folder.resolve()


def compare(arguments: argparse.Namespace) -> bool:
    """Every system in turn; the results are written anew after each. Whether all could be run."""
    rows: list[dict[str, Any]] = []
    for name in arguments.plans:
        print(f"== {title(name)}", flush=True)
        try:
            rows.append(run_system(arguments, name))
        except AutosegError as problem:
            rows.append({"plan": name, "title": title(name), "problem": str(problem)})
            print(f"   {problem}", flush=True)
        if any("problem" not in row for row in rows):
            write_results(describe_run(arguments), rows, arguments.output)
    return all("problem" not in row for row in rows)


def run_system(arguments: argparse.Namespace, name: str) -> dict[str, Any]:
    """Trains, predicts and scores one system, or reads what is done, and gives its row."""
    folds = PUBLISHED[name].folds if arguments.published and name in PUBLISHED else (0,)
    found = []
    for fold in folds:
        split = open_split(arguments, fold)
        plan = plan_system(arguments, name, split)
        answer = answering(plan, name)
        for stage in answer:
            for job in list_jobs(split.training, plan, split.workspace, stage, ["all"]):
                run_job(job, split.training, plan, split.workspace, arguments.device, progress=progress)
        found.append((split, plan, predict(arguments, split, plan, answer)))
    return make_row(arguments, name, found)


def open_split(arguments: argparse.Namespace, number: int) -> Split:
    """The training cases of a fold as a dataset in parts, and its validation cases as one that is held back."""
    dataset = autoseg.Dataset.open(arguments.dataset)
    fold = make_folds(dataset)[number]
    training = replace(dataset, cases=tuple(c for c in dataset.cases if c.name in fold.training), splits=None)
    parts = parted(fold.training, HALVES if arguments.minutes else FIFTHS)
    training = replace(training, splits=tuple((part.training, part.validation) for part in parts), test_cases=())
    held_back = replace(dataset, cases=tuple(c for c in dataset.cases if c.name in fold.validation), splits=None)
    return Split(training, held_back, Workspace(arguments.workspace.resolve() / f"fold_{number}"))


def parted(names: Sequence[str], count: int) -> list[Fold]:
    """Folds in which each case is predicted once, by a model of the others.

    >>> parted(("a", "b", "c"), 2)
    [Fold(training=('b',), validation=('a', 'c')), Fold(training=('a', 'c'), validation=('b',))]
    """
    parts = [tuple(sorted(names)[first::count]) for first in range(count)]
    return [Fold(tuple(name for name in sorted(names) if name not in part), part) for part in parts]


def plan_system(arguments: argparse.Namespace, name: str, split: Split) -> Plan:
    """The plan of a system, which is in the workspace or made now."""
    given, space = plan_name(name, arguments.minutes), split.workspace
    if space.plan_file(given).is_file():
        return space.read_plan(given)
    request = Request(device=arguments.device, minutes=arguments.minutes)
    if name == PLANNED:
        return plan_dataset(split.training, space, request, given, progress=progress)
    planned = plan_system(arguments, PLANNED, split)
    facts = read_fingerprint(space.fingerprint_file)
    if name == CASCADE:  # its networks are those for its share of the minutes
        shares = share_minutes(planned, answering(planned, name), arguments.minutes or 0.0)
        request = request._replace(minutes=max(shares.values()) or None)
        return plan_in_workspace(facts, space, given, request._replace(settings=shared_out(arguments, planned, name)))
    like = autoseg.read_plan(find_plan(name))
    stage = planned.stages[find_stage(planned, None)]
    settings = [] if arguments.published else settings_for(like, facts, stage)
    request = request._replace(like=like, settings=[*settings, *shared_out(arguments, like, name)])
    return plan_that_fits(request, facts, space, given)


def plan_that_fits(request: Request, facts: Any, space: Workspace, name: str) -> Plan:
    """The plan, with batches as published or, where these do not fit the memory, the largest share that does."""
    assert request.like is not None
    reduced: dict[str, str] = {}
    batches = {stage: smaller_batches(one) for stage, one in request.like.stages.items()}
    while True:
        try:
            return plan_in_workspace(
                facts, space, name, request._replace(settings=[*request.settings, *reduced.values()])
            )
        except PlanError as problem:
            stage = next((one for one in batches if f"stage {one} with" in str(problem)), None)
            smaller = next(batches[stage], None) if stage else None
            if smaller is None:
                raise
            reduced[str(stage)] = f"stages.{stage}.sampling.batch_size={smaller}"


def shared_out(arguments: argparse.Namespace, plan: Plan, name: str) -> list[str]:
    """The minutes of every stage that is trained, as settings."""
    if arguments.minutes is None:
        return []
    shares = share_minutes(plan, answering(plan, name), arguments.minutes)
    return [f"stages.{stage}.training.minutes={minutes:.4g}" for stage, minutes in shares.items()]


def share_minutes(plan: Plan, answer: Sequence[str], minutes: float) -> dict[str, float]:
    """Minutes of one training of each stage: an equal share a stage, in halves where it is trained twice.

    Args:
        plan: has the stages.
        answer: those whose prediction is the system's.
        minutes: of the whole system.
    """
    trained = list(dict.fromkeys(one for stage in answer for one in (*stages_before(plan, stage), stage)))
    share = minutes / len(trained)
    return {stage: share if stage in answer else share / HALVES for stage in trained}


def answering(plan: Plan, name: str) -> list[str]:
    """The stages whose mean probability is a system's answer: those that most others come before."""
    if name == PLANNED:
        return [find_stage(plan, None)]
    depth = {stage: len(stages_before(plan, stage)) for stage in plan.stages}
    if name == CASCADE and not any(depth.values()):
        raise AutosegError(
            "autoseg plans no cascade for this dataset: the patch of 3d_fullres holds enough of an image"
        )
    return [stage for stage in plan.stages if depth[stage] == max(depth.values())]


def predict(arguments: argparse.Namespace, split: Split, plan: Plan, answer: Sequence[str]) -> Path:
    """Predicts and scores the cases held back; the folder with predictions, scores.json and prediction.json."""
    folder = split.workspace.path / ("held_back_no_tta" if arguments.no_tta else "held_back") / plan.name
    if not (folder / "prediction.json").is_file():
        shutil.rmtree(folder, ignore_errors=True)  # of half of them the time would be that of the other half
        folders = [split.workspace.stage_folder(plan, stage) for stage in answer]
        device = arguments.device or plan.budget.device
        members = tuple(Predictor.load(one, device, mirror=not arguments.no_tta) for one in folders)
        team = Team(members, plan.stages[answer[-1]].postprocessing)
        started = time.perf_counter()
        outcome = predict_cases(team, split.held_back.cases, folder, progress=progress)
        seconds = time.perf_counter() - started
        if outcome.failures:
            raise AutosegError("\n".join(outcome.failures))
        write_json(folder / "prediction.json", {"seconds": seconds, "cases": len(split.held_back.cases)})
    if not (folder / SCORES_FILE).is_file():
        labels = {case.name: case.label for case in split.held_back.cases if case.label is not None}
        tolerance = coarsest_voxel_mm(split) if arguments.tolerance is None else arguments.tolerance
        evaluate(folder, labels, plan.dataset.labels, tolerance_mm=tolerance).write(folder / SCORES_FILE)
    return folder


def coarsest_voxel_mm(split: Split) -> float:
    """The median over the training cases of the longest edge of a voxel, mm."""
    edges = sorted(max(case.spacing_mm) for case in read_fingerprint(split.workspace.fingerprint_file).cases)
    return round(edges[len(edges) // 2], 2)


def make_row(arguments: argparse.Namespace, name: str, found: Sequence[tuple[Split, Plan, Path]]) -> dict[str, Any]:
    """All that is known of a system, from the files it left."""
    scores = pooled([read_scores(folder / SCORES_FILE) for _, _, folder in found])
    times = [read_json(folder / "prediction.json") for _, _, folder in found]
    split, plan, _ = found[0]
    trained = list(share_minutes(plan, answering(plan, name), 1.0))
    stages = {stage: stage_facts(split, plan, stage) for stage in trained}
    return {
        "plan": name,
        "title": title(name),
        "answer": answering(plan, name),
        "folds": len(found),
        "cases": len(scores.cases),
        "tolerance_mm": scores.tolerance_mm,
        "mean": scores.overall()._asdict(),
        "labels": {
            target: {m: measures[m]._asdict() for m in ("dice", "surface_dice", "hd95_mm")}
            for target, measures in scores.means().items()
        },
        "stages": stages,
        "trained_minutes": sum(stage["minutes"] for stage in stages.values()),
        "parameters": sum(stage["parameters"] for stage in stages.values()),
        "prediction_seconds_a_case": sum(one["seconds"] for one in times) / sum(one["cases"] for one in times),
        "machine": stages[trained[-1]]["machine"],
        **({"reported": PUBLISHED[name].reported, "split": PUBLISHED[name].split} if name in PUBLISHED else {}),
    }


def pooled(scores: Sequence[Scores]) -> Scores:
    """Scores of several folds as one."""
    return scores[0].model_copy(update={"cases": {name: one for part in scores for name, one in part.cases.items()}})


def stage_facts(split: Split, plan: Plan, name: str) -> dict[str, Any]:
    """What the training of a stage was, from its models and their logs."""
    stage = plan.stages[name]
    folders = split.workspace.fold_folders(plan, name)
    models = [read_model(folder) for folder in folders]
    rows = [json.loads(line) for folder in folders for line in (folder / LOG).read_text().splitlines()]
    iterations = [round(float(model.trained["iterations"] or 0)) for model in models]
    stepping = sum(row["seconds"] - row["validation_seconds"] for row in rows)
    waiting = sum(row["data_wait"] * (row["seconds"] - row["validation_seconds"]) for row in rows)
    memory = next((row for row in rows if "step_bytes_measured" in row), {})
    planned = plan.decisions.get(f"stages.{name}.memory")
    network = build_network(stage.network, len(plan.dataset.channels), plan.dataset.labels.outputs)
    return {
        "models": len(models),
        "minutes": sum(float(model.trained["minutes"] or 0) for model in models),
        "stopped": [model.trained["stopped"] for model in models if model.trained["stopped"]],
        "iterations": iterations,
        "seconds_per_iteration": stepping / max(1, sum(iterations)),
        "waiting_share": waiting / max(stepping, 1e-9),
        "parameters": count_parameters(network),
        "patch_size": list(stage.sampling.patch_size),
        "batch_size": stage.sampling.batch_size,
        "spacing_mm": stage.preprocessing.spacing_mm,
        "normalisation": [scale.kind for scale in stage.preprocessing.normalisation],
        "planned_training_gb": planned.value["training_gb"] if planned else None,
        "predicted_gb": memory["step_bytes_predicted"] / 1e9 if memory else None,
        "measured_gb": memory["step_bytes_measured"] / 1e9 if memory else None,
        "machine": models[0].machine,
    }


def describe_run(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """What holds of all rows."""
    given = "--kits-like" if arguments.kits_like else arguments.dataset.name
    command = f"python benchmarks/planned_vs_hand_set.py {given}"
    command += " --published" if arguments.published else f" --minutes {arguments.minutes:g}"
    command += " --no-tta" * arguments.no_tta
    command += f" --plans {' '.join(arguments.plans)}" * (arguments.plans != DEFAULT)
    return {
        "dataset": arguments.dataset.name,
        "minutes": arguments.minutes,
        "published": arguments.published,
        "mirrored": not arguments.no_tta,
        "command": command,
        "note": arguments.note,
    }


def plan_name(name: str, minutes: float | None) -> str:
    """Of a plan in the workspace.

    >>> plan_name("planned", 8), plan_name("planned", None)
    ('planned_8min', 'planned_published')
    """
    return f"{Path(name).stem}_{minutes:g}min" if minutes else f"{Path(name).stem}_published"


if __name__ == "__main__":
    main()
