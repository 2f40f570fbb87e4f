"""The stages of a plan in a table, one row each.

Comes in: a plan. Goes out: lines.
"""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.geometry import in_mm
from autoseg.phrases import counted
from autoseg.plan import Plan, Stage
from autoseg.plan.preprocessing import Preprocessing
from autoseg.reporting.columns import aligned
from autoseg.reporting.decisions import is_outdated
from autoseg.reporting.wording import COLUMNS, wrapped

HEADER = (
    ("stage", ""),
    ("sees", ""),
    ("voxel", "mm"),
    ("patch", "voxels"),
    ("batch", ""),
    ("network", "levels, features"),
    ("epochs ×", "iterations"),
    ("GB to train", "/ predict"),
)
INDENT = 2
SHORTEST_NAME = 8
NETWORKS = {
    "plain_unet": "plain",
    "residual_encoder_unet": "residual",
    "block_unet": "U-Net",
    "v_net": "V-Net",
    "dense_v_net": "DenseNet",
    "se_resnext_v_net": "SE-ResNeXt",
}


def glance(plan: Plan) -> list[str]:
    """What each stage sees, its network, how long it is trained and what memory that takes."""
    rows = [_row(plan, name, stage) for name, stage in plan.stages.items()]
    lines = [" " * INDENT + line for line in _fitted([*zip(*HEADER, strict=True), *rows])]
    notes = [_legend(next(iter(plan.stages.values())))]
    for name, stage in plan.stages.items():
        if stage.previous is not None:
            first = stage.previous.stage
            notes.append(f"{name} builds on what {first} predicts, which is trained first, in all folds.")
    memories = "".join(row[-1] for row in rows)
    if "-" in memories:
        notes.append("-: nnU-Net's rules have an estimate of their own; training tells what a step takes.")
    if "*" in memories:
        notes.append("*: predicted before values of the stage were set by hand.")
    return [*lines, "", *wrapped(" ".join(notes), "  ", "  ")]


def _legend(stage: Stage) -> str:
    first, last = stage.network.features[0], stage.network.features[-1]
    return (
        f"Each stage is a network of its own, which sees patches of the image. '{_network(stage)}' is one of "
        f"{len(stage.network.features)} levels: the first works at the patch's full resolution, with {first} features, "
        f"the last at the coarsest, with {last}. Sizes are along the axes in the order in which the network has them, "
        "the coarsest first; single slices have the last two."
    )


def _voxels(preprocessing: Preprocessing) -> str:
    if preprocessing.resize_to is not None:
        return "×".join(map(str, preprocessing.resize_to)) + " a slice"
    return in_mm(preprocessing.spacing_mm or ()).replace(" ", "")


def _row(plan: Plan, name: str, stage: Stage) -> tuple[str, ...]:
    training = stage.training
    epochs = f"{training.epochs} × {training.iterations_per_epoch}"
    minutes = None if training.minutes is None else counted(training.minutes, "minute")
    return (
        name,
        f"{stage.dimensions}-D",
        _voxels(stage.preprocessing),
        "×".join(map(str, stage.sampling.patch_size)),
        str(stage.sampling.batch_size),
        _network(stage),
        minutes or epochs,
        _memory(plan, name) + "*" * is_outdated(plan, name),
    )


def _network(stage: Stage) -> str:
    network = stage.network
    return f"{NETWORKS[network.kind]} {len(network.features)}, {network.features[0]}→{network.features[-1]}"


def _memory(plan: Plan, name: str) -> str:
    decision = plan.decisions.get(f"stages.{name}.memory")
    if decision is None:
        return "-"
    return f"{_gigabytes(decision.value['training_gb'])} / {_gigabytes(decision.value['inference_gb'])}"


def _gigabytes(size: float) -> str:
    """Two digits that count.

    >>> _gigabytes(7.777), _gigabytes(23.44), _gigabytes(0.0512)
    ('7.8', '23.4', '0.05')
    """
    return f"{size:.1f}" if size >= 1 else f"{size:.2f}"


def _fitted(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns side by side; where they are too wide, closer together and the names of stages shortened."""
    first, *widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    room = COLUMNS - INDENT - sum(widths)
    gap = "  " if first + 2 * len(widths) <= room else " "
    first = max(room - len(gap) * len(widths), SHORTEST_NAME)
    return aligned([(_shortened(name, first), *cells) for name, *cells in rows], gap)


def _shortened(name: str, most: int) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"
