"""The stages of a plan in a table, one row each.

Comes in: a plan. Goes out: lines.
"""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.plan import Plan, Stage
from autoseg.reporting.wording import COLUMNS, number, wrapped

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
NETWORKS = {"plain_unet": "plain", "residual_encoder_unet": "residual"}
LEGEND = (
    "Each stage is a network of its own. It sees patches of the image; its first level works on their full resolution, "
    "each further level on a coarser one, from as many features to as many. Sizes are along the axes in the order in "
    "which the network has them, the coarsest first; single slices have the last two."
)


def glance(plan: Plan, changed: Sequence[str] = ()) -> list[str]:
    """What each stage sees, its network, how long it is trained and what memory that takes.

    Args:
        plan: to show.
        changed: stages that people changed after the memory was predicted.
    """
    rows = [_row(plan, name, stage, name in changed) for name, stage in plan.stages.items()]
    lines = [" " * INDENT + line for line in _aligned([*zip(*HEADER, strict=True), *rows])]
    notes = [LEGEND]
    for name, stage in plan.stages.items():
        if stage.previous is not None:
            notes.append(f"Besides the image, {name} sees what {stage.previous.stage} predicts for it.")
    memories = "".join(row[-1] for row in rows)
    if "-" in memories:
        notes.append("-: not predicted.")
    if "*" in memories:
        notes.append("*: predicted before values of the stage were set by hand.")
    return [*lines, "", *wrapped(" ".join(notes), "  ", "  ")]


def _row(plan: Plan, name: str, stage: Stage, changed: bool) -> tuple[str, ...]:
    network, training = stage.network, stage.training
    epochs = f"{training.epochs} × {training.iterations_per_epoch}"
    minutes = None if training.minutes is None else f"{number(training.minutes)} minutes"
    features = f"{network.features[0]}→{network.features[-1]}"
    return (
        name,
        f"{stage.dimensions}-D",
        "×".join(f"{size:.2f}" for size in stage.preprocessing.spacing_mm),
        "×".join(map(str, stage.sampling.patch_size)),
        str(stage.sampling.batch_size),
        f"{NETWORKS[network.kind]} {len(network.features)}, {features}",
        minutes or epochs,
        _memory(plan, name) + "*" * changed,
    )


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


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns side by side; where they are too wide, closer together and the names of stages shortened.

    >>> _aligned([("stage", "batch"), ("2d", "16")])
    ['stage  batch', '2d     16']
    """
    first, *widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    room = COLUMNS - INDENT - sum(widths)
    gap = "  " if first + 2 * len(widths) <= room else " "
    first = min(first, max(room - len(widths), SHORTEST_NAME))
    lines = []
    for name, *cells in rows:
        shown = name if len(name) <= first else name[: first - 1] + "…"
        lines.append(gap.join([shown.ljust(first), *map(str.ljust, cells, widths)]).rstrip())
    return lines
