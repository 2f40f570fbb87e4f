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
from autoseg.phrases import counted

IMAGES_REMEDY = "Such a dataset can be measured and planned for. To train, add the images and derive the plan again."


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
        faults: of dataset.json, such as keep no case from being read; empty unless opened leniently.
    """

    path: Path
    description: Description
    cases: tuple[Case, ...]
    test_cases: tuple[Case, ...] = ()
    file_ending: str = ".nii.gz"
    splits: Splits | None = None
    declared_cases: int | None = None
    faults: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Names are unique, and good for files: predictions, prepared arrays and splits are found by them."""
        for cases in (self.cases, self.test_cases):
            unfit = next((case.name for case in cases if not names_a_file(case.name)), None)
            if unfit is not None:
                raise DatasetError(
                    f"{self.path}: a case is called '{unfit}', and files are named after cases. "
                    "Give it a name without / and \\ that does not begin with a dot."
                )
            name, times = max(Counter(case.name for case in cases).items(), key=lambda item: item[1], default=("", 0))
            if times > 1:
                raise DatasetError(f"{self.path}: {times} cases are called '{name}'. Give each a name of its own.")

    @staticmethod
    def open(path: str | Path, lenient: bool = False) -> Dataset:
        """Recognises the layout of a folder and lists its cases. Reads the header of one image.

        Args:
            path: the folder.
            lenient: let faults of dataset.json that keep no case from being read stand, in `faults`.

        Raises:
            DatasetError: the folder is absent, its layout is none of those known, or its
                dataset.json or splits are at fault.
        """
        from autoseg.dataset.layouts import open_dataset  # layouts make datasets, so they import this file

        return open_dataset(Path(path), lenient)

    @property
    def has_images(self) -> bool:
        """False where there are label maps and no case has an image: sizes and labels can be measured, no more."""
        if any(path.exists() for case in self.cases for path in case.images):
            return True
        return not any(case.label is not None and case.label.exists() for case in self.cases)

    def require_images(self) -> None:
        """Stops what cannot be done with label maps alone.

        Raises:
            DatasetError: no case has an image.
        """
        if not self.has_images:
            raise DatasetError(f"{self.path}: {self.lack_of_images}. {IMAGES_REMEDY}")

    @property
    def lack_of_images(self) -> str:
        """What to say of a dataset of label maps alone."""
        expected = next((path for case in self.cases for path in case.images), self.path)
        shown = expected.relative_to(self.path) if expected.is_relative_to(self.path) else expected
        return f"{counted(len(self.cases), 'case')} with label maps and not one image (looked for {shown} and so on)"


def names_a_file(name: str) -> bool:
    """Whether NAME.json stays in its folder and is seen there."""
    return bool(name) and not name.startswith(".") and not {"/", "\\"} & set(name)
