"""The scores of a set of cases, in memory and on disk.

Comes in: the Dice of every target of every case. Goes out: means, a table, and two files:
`scores.json`, which holds everything and says by which rule, and `scores.csv`, the table alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import Field, ValidationError

from autoseg.errors import AutosegError
from autoseg.evaluation.dice import RULE
from autoseg.files import read_json, write_json, write_text
from autoseg.frozen import Frozen

MEANS = "A target's mean is over the cases that count it; the mean is over the targets that have one."


class Scores(Frozen):
    """How well predictions agree with references.

    Attributes:
        format: version of the file format.
        rule: what a number means, which cases are counted, and what the means are over.
        dice: case → target → Dice, 0…1; None where the case does not count for the target.
        unpredicted: cases that have a reference and no prediction. They are not scored.

    >>> scores = Scores(dice={"a": {"kidney": 0.9, "cyst": None}, "b": {"kidney": 0.7, "cyst": None}})
    >>> scores.per_target
    {'kidney': 0.8, 'cyst': None}
    >>> scores.mean
    0.8
    """

    format: Literal[1] = 1
    rule: str = f"{RULE} {MEANS}"
    dice: dict[str, dict[str, float | None]] = Field(min_length=1)
    unpredicted: tuple[str, ...] = ()

    def table(self) -> pd.DataFrame:
        """Dice as a table: a row a case, a column a target, NaN where the case does not count."""
        table = pd.DataFrame.from_dict(self.dice, orient="index", dtype=float)
        return table.rename_axis(index="case", columns="target")

    @property
    def per_target(self) -> dict[str, float | None]:
        """The mean Dice of each target over the cases that count it; None if none does."""
        return {str(target): _number(mean) for target, mean in self.table().mean().items()}

    @property
    def mean(self) -> float | None:
        """The mean of `per_target` over the targets that were counted in some case."""
        return _number(self.table().mean().mean())

    def write(self, path: Path) -> None:
        """Writes `path`, which must end in .json, and the table beside it, ending in .csv.

        Raises:
            AutosegError: the path does not end in .json.
        """
        if path.suffix != ".json":
            raise AutosegError(f"{path}: scores are written as JSON. Give a name that ends in .json.")
        fields = self.model_dump(mode="json", exclude={"dice"})
        write_json(path, {**fields, "mean": self.mean, "per_target": self.per_target, "dice": self.dice})
        write_text(path.with_suffix(".csv"), self.table().to_csv())


def read_scores(path: Path) -> Scores:
    """Reads what `Scores.write` wrote.

    Raises:
        AutosegError: the file is absent, or holds something else.
    """
    content = read_json(path)
    try:
        derived = ("mean", "per_target")  # for those who read the file; here they follow from the rest
        return Scores(**{name: value for name, value in content.items() if name not in derived})
    except (AttributeError, TypeError, ValidationError):
        raise AutosegError(
            f"{path}: this file does not hold scores in format 1. Write it again with `autoseg evaluate`."
        ) from None


def _number(value: float) -> float | None:
    return None if pd.isna(value) else float(value)
