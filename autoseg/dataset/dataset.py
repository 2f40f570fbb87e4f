"""A dataset on disk: its description and where its cases lie.

Comes in: the path of a folder. Goes out: `Dataset`, which every later step starts from.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from autoseg.dataset.description import Description
from autoseg.dataset.splits import Splits
from autoseg.errors import DatasetError


@dataclass(frozen=True)
class Case:
    """One patient, scan or picture: the files that hold its channels, and its label map.

    Attributes:
        name: unique in the dataset; predictions and prepared arrays are files named after it.
        images: one file a channel, or one file that holds several channels.
        label: the label map, or None where there is none (test cases).
    """

    name: str
    images: tuple[Path, ...]
    label: Path | None


@dataclass(frozen=True)
class Dataset:
    """A folder of images with label maps.

    Attributes:
        path: the folder.
        description: name, channels and labels.
        cases: the training cases, ordered by name; each has a label map, or should.
        test_cases: cases without label maps that came along.
        file_ending: of label maps and predictions, ".nii.gz".
        splits: (training, validation) case names a fold, where the dataset brings its own.
        declared_cases: the number of training cases that dataset.json announces, if it does.
    """

    path: Path
    description: Description
    cases: tuple[Case, ...]
    test_cases: tuple[Case, ...] = ()
    file_ending: str = ".nii.gz"
    splits: Splits | None = None
    declared_cases: int | None = None

    def __post_init__(self) -> None:
        """Names are unique, and good for files: predictions, prepared arrays and splits are found by them."""
        for cases in (self.cases, self.test_cases):
            unfit = next((case.name for case in cases if not _names_a_file(case.name)), None)
            if unfit is not None:
                raise DatasetError(
                    f"{self.path}: a case is called '{unfit}', and files are named after cases. "
                    "Give it a name without / and \\ that does not begin with a dot."
                )
            name, times = max(Counter(case.name for case in cases).items(), key=lambda item: item[1], default=("", 0))
            if times > 1:
                raise DatasetError(f"{self.path}: {times} cases are called '{name}'. Give each a name of its own.")

    @staticmethod
    def open(path: str | Path) -> Dataset:
        """Recognises the layout of a folder and lists its cases. Reads the header of one image.

        Raises:
            DatasetError: the folder is absent, its layout is none of those known, or its
                dataset.json or splits are at fault.
        """
        from autoseg.dataset.layouts import open_dataset  # layouts make datasets, so they import this file

        return open_dataset(Path(path))


def _names_a_file(name: str) -> bool:
    """Whether NAME.json stays in its folder and is seen there."""
    return bool(name) and not name.startswith(".") and not {"/", "\\"} & set(name)
