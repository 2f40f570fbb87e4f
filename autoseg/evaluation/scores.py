"""The scores of a set of cases, in memory and on disk.

Comes in: the measures of every target of every case. Goes out: means with their intervals, tables, and two files:
`scores.json`, which holds everything and says how it is defined, and `scores.csv`, one row a case and target.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from autoseg.errors import AutosegError
from autoseg.evaluation.intervals import (
    RESAMPLES,
    SEED,
    Mean,
    mean_of_columns,
    mean_with_interval,
    resampled_means,
)
from autoseg.evaluation.measures import DEFINITIONS, Measures
from autoseg.files import check_place, read_json, write_json, write_text
from autoseg.frozen import Frozen

if TYPE_CHECKING:
    import pandas as pd

SCORES_FILE = "scores.json"  # the usual name
TOLERANCE_MM = 2.0  # of surface Dice, where nobody says
MOST_TOLERANCE_MM = 1e6  # more is a slip of the keyboard
CONVENTIONS = {
    "cases": "A target that neither the prediction nor the reference of a case holds counts for no measure there: "
    "null. One that only the prediction holds, or only the reference, counts: with 0, or as the measure says.",
    "unannotated": "Voxels the reference leaves unannotated are background in both maps.",
    "means": "A target's mean is over the cases that count; `mean` is the mean Dice over the `averaged` targets that "
    "have one.",
    "intervals": f"[low, high] holds 95 % of the means of {RESAMPLES} bootstrap resamples of the cases (percentiles "
    f"2.5 and 97.5, seed {SEED}); null where fewer than two cases count.",
}
DERIVED = ("mean", "mean_interval", "per_target", "means")  # for those who read the file; they follow from the rest


class Scores(Frozen):
    """How well predictions agree with references.

    Attributes:
        format: version of the file format.
        conventions: what is counted, what the means are over, and how each measure is defined.
        tolerance_mm: of surface Dice.
        averaged: the targets that `mean` is over: what the model predicts. Empty: all.
        cases: case → target → measures; every case has the same targets.
        unpredicted: cases that have a reference and no prediction. They are not scored.
        counted_as_empty: cases that have a reference and no prediction, scored as if nothing was found in them.

    >>> kidneys = {"a": Measures(dice=0.9), "b": Measures(dice=0.7)}
    >>> scores = Scores(cases={name: {"kidney": one, "cyst": Measures()} for name, one in kidneys.items()})
    >>> scores.per_target
    {'kidney': 0.8, 'cyst': None}
    >>> scores.mean
    0.8
    """

    format: Literal[2] = 2
    conventions: dict[str, str] = Field(default={**CONVENTIONS, **DEFINITIONS})
    tolerance_mm: float = TOLERANCE_MM
    averaged: tuple[str, ...] = ()
    cases: dict[str, dict[str, Measures]] = Field(min_length=1)
    unpredicted: tuple[str, ...] = ()
    counted_as_empty: tuple[str, ...] = ()

    @property
    def targets(self) -> tuple[str, ...]:
        """What was scored."""
        return tuple(next(iter(self.cases.values())))

    @property
    def dice(self) -> dict[str, dict[str, float | None]]:
        """Case → target → Dice, 0…1; None where the case does not count for the target."""
        return {name: {target: one.dice for target, one in case.items()} for name, case in self.cases.items()}

    @property
    def per_target(self) -> dict[str, float | None]:
        """The mean Dice of each target over the cases that count it; None if none does."""
        return {target: measures["dice"].mean for target, measures in self.means().items()}

    @property
    def mean(self) -> float | None:
        """The mean Dice over the averaged targets that were counted in some case."""
        return self.overall().mean

    def means(self) -> dict[str, dict[str, Mean]]:
        """Target → measure → its mean over the cases that count, with a 95 % interval."""
        values = self._values()
        resampled = resampled_means(values.reshape(len(values), -1)).reshape(-1, *values.shape[1:])
        return {
            target: {
                measure: mean_with_interval(values[:, row, column], resampled[:, row, column])
                for column, measure in enumerate(DEFINITIONS)
            }
            for row, target in enumerate(self.targets)
        }

    def overall(self) -> Mean:
        """The mean Dice over the averaged targets that have one. Its interval is of the cases drawn as wholes."""
        among = [self.targets.index(target) for target in self._averaged()]
        dice = self._values()[:, among, list(DEFINITIONS).index("dice")]
        return mean_of_columns(dice, resampled_means(dice))

    def table(self) -> pd.DataFrame:
        """Dice of the averaged targets as a table: a row a case, a column a target, NaN where it does not count."""
        import pandas as pd

        table = pd.DataFrame.from_dict(self.dice, orient="index", dtype=float)[self._averaged()]
        return table.rename_axis(index="case", columns="target")

    def to_pandas(self) -> pd.DataFrame:
        """Everything as a table: a row a case and target, a column a measure, NaN where it does not count."""
        import pandas as pd

        rows = [
            {"case": name, "target": target, **one.model_dump()}
            for name, case in self.cases.items()
            for target, one in case.items()
        ]
        return pd.DataFrame(rows).astype(dict.fromkeys(DEFINITIONS, float))

    def write(self, path: Path) -> None:
        """Writes `path`, which must end in .json, and the table beside it, ending in .csv.

        Raises:
            AutosegError: the path does not end in .json, or no file can be there.
        """
        check_target(path)
        overall, means = self.overall(), self.means()
        derived = {
            "mean": overall.mean,
            "mean_interval": [overall.low, overall.high],
            "per_target": {target: measures["dice"].mean for target, measures in means.items()},
            "means": {
                target: {measure: mean._asdict() for measure, mean in measures.items()}
                for target, measures in means.items()
            },
        }
        write_json(path, {"format": self.format, **derived, **self.model_dump(mode="json")})
        write_text(path.with_suffix(".csv"), self.to_pandas().to_csv(index=False))

    def _averaged(self) -> list[str]:
        return list(self.averaged or self.targets)

    def _values(self) -> NDArray[np.float64]:
        """(cases, targets, measures), NaN where a case does not count."""
        rows = [[list(case[target].model_dump().values()) for target in self.targets] for case in self.cases.values()]
        return np.array(rows, dtype=np.float64)


def check_target(path: Path) -> None:
    """Refuses a place where scores cannot be written.

    Raises:
        AutosegError: its name does not end in .json; it, or the table's beside it, is a folder; or a part of the path
            is a file.
    """
    if path.suffix != ".json":
        raise AutosegError(f"{path}: scores are written as JSON. Give a name that ends in .json.")
    for file in (path, path.with_suffix(".csv")):
        check_place(file, SCORES_FILE)


def read_scores(path: Path) -> Scores:
    """Reads what `Scores.write` wrote.

    Raises:
        AutosegError: the file is absent, or holds something else.
    """
    content = read_json(path)
    try:
        return Scores(**{name: value for name, value in content.items() if name not in DERIVED})
    except (AttributeError, TypeError, ValidationError):
        raise AutosegError(
            f"{path}: this file does not hold scores in format 2. Remove it and run the same command again."
        ) from None
