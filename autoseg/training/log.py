"""The log of a training, for people and for programs.

Comes in: rows, one an epoch. Goes out: `log.jsonl`, the same as `log.csv`, `progress.png`, and TensorBoard's files.
All are views of what the checkpoint holds, so they are written after it.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoseg.errors import TrainingError
from autoseg.files import write_text
from autoseg.inference.model import CURVES, LOG
from autoseg.training.training_curves import draw_training_curves

DRAWING_SECONDS = 60.0  # between two pictures: one takes a second

Row = Mapping[str, Any]


class Log:
    """Writes the rows of a training.

    Args:
        folder: of the training.
        title: what was trained.
        tensorboard: whether to write TensorBoard's files too, into `tensorboard/`.

    Raises:
        TrainingError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, title: str, tensorboard: bool = False) -> None:
        self._folder, self._title = folder, title
        self._tensorboard = _summary_writer(folder / "tensorboard") if tensorboard else None
        self._drawn = 0.0
        self._shown = 0

    def write(self, rows: Sequence[Row], finished: bool) -> None:
        """Writes all rows; the picture only now and then, and at the end."""
        if not rows:
            return
        write_text(self._folder / LOG, "".join(json.dumps(row) + "\n" for row in rows), durable=False)
        write_text(self._folder / "log.csv", as_csv(rows), durable=False)
        if finished or not self._drawn or time.monotonic() - self._drawn > DRAWING_SECONDS:
            draw_training_curves(self._folder / CURVES, rows, self._title)
            self._drawn = time.monotonic()
        if self._tensorboard is not None:
            for row in rows[self._shown :]:
                for name, value in flat(row).items():
                    if isinstance(value, int | float):
                        self._tensorboard.add_scalar(name, value, row["epoch"])
            self._shown = len(rows)
            self._tensorboard.flush()


def as_csv(rows: Sequence[Row]) -> str:
    """A line an epoch, a column a quantity; the Dice of a label is "dice.LABEL"."""
    flattened = [flat(row) for row in rows]
    names = list(dict.fromkeys(name for row in flattened for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flattened)
    return text.getvalue()


def flat(row: Row) -> dict[str, Any]:
    """A row without rows in it.

    >>> flat({"epoch": 3, "dice": {"kidney": 0.9}})
    {'epoch': 3, 'dice.kidney': 0.9}
    """
    result: dict[str, Any] = {}
    for name, value in row.items():
        parts = value.items() if isinstance(value, Mapping) else [("", value)]
        result |= {f"{name}.{part}" if part else name: content for part, content in parts}
    return result


def _summary_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise TrainingError("TensorBoard is not installed. Install it: pip install 'autoseg[tensorboard]'.") from None
    return SummaryWriter(str(folder))
