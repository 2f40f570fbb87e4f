"""Arguments and options that several commands share, and how they are resolved."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, cast, get_args

import typer

if TYPE_CHECKING:
    from autoseg.dataset import Dataset
    from autoseg.plan import PresetName
    from autoseg.workflow.request import Request
    from autoseg.workflow.workspace import Workspace


def above_zero(number: float | None) -> float | None:
    """Refuses a budget of nothing, or of everything."""
    if number is not None and not 0 < number < math.inf:
        raise typer.BadParameter(f"{number:g} is not a number above 0")
    return number


def time_enough(minutes: float | None) -> float | None:
    """Refuses a training time in which nothing can be done, or that never ends."""
    from autoseg.plan.training import LEAST_MINUTES

    above_zero(minutes)
    if minutes is not None and minutes < LEAST_MINUTES:
        raise typer.BadParameter(f"{minutes:g} minutes are too few: {LEAST_MINUTES} is the least")
    return minutes


def _known_device(name: str | None) -> str | None:
    """None for "auto": what is best is the plan's to say, or for a new plan the machine's."""
    from autoseg.networks.devices import DEVICES

    if name is not None and name.partition(":")[0] not in DEVICES:
        raise typer.BadParameter(f"'{name}' is none of {', '.join(DEVICES)}")
    return None if name == "auto" else name


def _known_preset(name: str | None) -> str | None:
    from autoseg.plan import PresetName

    known = get_args(PresetName)
    if name is not None and name not in known:
        raise typer.BadParameter(f"'{name}' is none of {', '.join(known)}")
    return name


def _plan_name(name: str) -> str:
    from autoseg.plan import plan_schema

    rule = plan_schema()["properties"]["name"]
    if not re.search(rule["pattern"], name) or len(name) > rule["maxLength"]:
        raise typer.BadParameter(
            f"'{name}' cannot be a plan's name: use letters, digits and . _ -, {rule['maxLength']} at most"
        )
    return name


class Place(NamedTuple):
    """What to compute on.

    Attributes:
        kind: of device, as a request for a plan names it.
        device: None for the plan's.
        several: devices to keep busy at once, in its place.
    """

    kind: str | None
    device: str | None
    several: tuple[str, ...]


DatasetPath = Annotated[
    Path, typer.Argument(metavar="DATASET", help="Folder of the dataset: nnU-Net, Decathlon or KiTS layout.")
]
WorkspacePath = Annotated[
    Path | None,
    typer.Option(
        "-w", "--workspace", metavar="DIR", help="Where everything is kept. [default: ./autoseg-work/<dataset>]"
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="auto|cpu|cuda|mps",
        callback=_known_device,
        help="What to compute on; cuda:1 is the second GPU. [default: auto]",
    ),
]
Devices = Annotated[
    str | None,
    typer.Option(
        metavar="cuda:0,cuda:1,…|all",
        help="Trains as many models at a time, one on each; what they say goes to files. [default: one at a time]",
    ),
]
Memory = Annotated[
    float | None,
    typer.Option(
        metavar="GB",
        callback=above_zero,
        help="Memory for training. [default: the GPU's less one, or half of what this process may take; with nnU-Net's "
        "presets theirs, 8, 24 or 40]",
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        metavar="M",
        callback=time_enough,
        help="Training time of one model. [default: 1000 epochs of 250 iterations]",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Sets a value of the plan, e.g. stages.2d.sampling.batch_size=8. Repeatable.",
    ),
]
Like = Annotated[
    Path | None,
    typer.Option(
        metavar="PLAN",
        help="Takes the stages of this plan instead of deriving them: a file, or a name that 'autoseg plans' lists.",
    ),
]
LabelNames = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        metavar="THEIRS=OURS",
        help="With --like: what a label of that plan is called in this dataset, e.g. kidney=liver. Repeatable; labels "
        "that are not given go by their names, then by their order.",
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        callback=_known_preset,
        help="Rules to derive the plan by: standard, or nnU-Net's own: nnunet, nnunet-resenc-m, -l, -xl. "
        "[default: standard]",
    ),
]
Timings = Annotated[
    Path | None,
    typer.Option(
        metavar="PLAN.json", help="With --minutes: takes the machine's speed from this plan, made on it, not from here."
    ),
]
NewPlanName = Annotated[str, typer.Option("--name", metavar="NAME", callback=_plan_name, help="Name of the plan.")]
PlanName = Annotated[
    str, typer.Option("--plan", metavar="NAME", callback=_plan_name, help="Which plan of the workspace to use.")
]
StageName = Annotated[
    str | None, typer.Option("--stage", metavar="NAME", help="A stage of the plan: 2d, 3d_lowres, 3d_fullres.")
]
Folds = Annotated[
    str | None,
    typer.Option(metavar="0,1,…", help="Folds to train; 'all' is one model of all cases. [default: each fold]"),
]
Jobs = Annotated[int | None, typer.Option(metavar="N", min=1, help="Processes. [default: one a core]")]
GroupBy = Annotated[
    str | None,
    typer.Option(
        metavar="PATTERN|FILE.csv:COLUMN",
        help="Keeps cases of one patient in one fold: what a regular expression finds in their names, '^([^_]+)', or a "
        "column of a table that begins with them.",
    ),
]
Stratify = Annotated[bool, typer.Option("--stratify", help="Spreads labels and their volumes evenly over the folds.")]
Split = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="TRAIN/VALIDATION[/TEST]",
        help="One split in place of five folds, in cases or shares of them: 190/20, 80/10/10. Test cases are neither "
        "trained on nor validated.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(metavar="N", min=0, help="Processes that load patches. [default: 1, or up to 8 beside a GPU]"),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Plans, lists what would be trained, and stops.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Shows results and errors only.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Shows more of what is going on.")]


def open_workspace(dataset: Dataset | Path, path: Path | None) -> Workspace:
    """The workspace that was named, or the default one of the dataset.

    Raises:
        WorkspaceError: a file is there, or where one of the folders above it should be.
    """
    from autoseg.errors import WorkspaceError
    from autoseg.workflow.workspace import Workspace

    folder = dataset if isinstance(dataset, Path) else dataset.path
    place = path or Path("autoseg-work") / folder.resolve().name
    if file := file_in_the_way(place):
        raise WorkspaceError(f"{file}: a file, and a folder is needed there. Give another folder (-w DIR).")
    return Workspace(place)


def file_in_the_way(folder: Path) -> Path | None:
    """The part of a path at which a file is, where it should be a folder."""
    return next((part for part in (folder, *folder.parents) if part.exists() and not part.is_dir()), None)


def make_request(
    device: str | None,
    memory: float | None,
    minutes: float | None,
    settings: list[str] | None,
    like: Path | None,
    preset: str | None,
    timings: Path | None = None,
    labels: list[str] | None = None,
) -> Request:
    """What the options ask of a plan.

    Raises:
        PlanError: they contradict each other, or the plan to take stages from cannot be read.
    """
    from autoseg.plan import read_plan
    from autoseg.plan.shipped import find_plan
    from autoseg.workflow.request import Request, check_request

    taken = read_plan(find_plan(like)) if like else None
    known = read_plan(timings) if timings else None
    return check_request(
        Request(device, memory, minutes, settings or (), taken, cast("PresetName | None", preset), known, labels or ())
    )


def parse_fold(text: str, option: str = "--fold") -> int | str:
    """A fold's number, or "all"."""
    if text == "all":
        return text
    if not (text.isascii() and text.isdecimal() and len(text) < 4):
        raise typer.BadParameter(f"'{text}' is neither a number nor 'all'", param_hint=option)
    return int(text)


def parse_folds(text: str | None) -> list[int | str] | None:
    """The folds that were named, separated by commas; None for each."""
    return None if text is None else [parse_fold(fold.strip(), "--folds") for fold in text.split(",")]


def parse_place(device: str | None, devices: str | None) -> Place:
    """What --device or --devices says to compute on."""
    if device and devices:
        raise typer.BadParameter("give --device or --devices, not both")
    several = () if devices is None else parse_devices(devices)
    return Place(several[0].partition(":")[0] if several else device, device, several)


def parse_devices(text: str) -> tuple[str, ...]:
    """The devices to keep busy, all of one kind."""
    from autoseg.networks.devices import find_device

    if text == "all":
        import torch

        return tuple(f"cuda:{number}" for number in range(torch.cuda.device_count())) or ("cpu",)
    named = tuple(name.strip() for name in text.split(","))
    kinds = {find_device(name).type for name in named}
    if len(kinds) > 1:
        raise typer.BadParameter(f"'{text}' are of several kinds, and a plan is for one", param_hint="--devices")
    return named
