"""The fields of a dataset.json, each tested where it is read.

Comes in: a folder. Goes out: names, labels and paths; or an error that names the file and the field.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autoseg.dataset.labels import Labels, Region
from autoseg.errors import DatasetError
from autoseg.files import read_json
from autoseg.frozen import fault_in_words

_JSON_NAMES = {dict: "an object {…}", list: "a list […]", str: "a text", int: "a whole number"}


@dataclass(frozen=True)
class DatasetJson:
    """The dataset.json of a folder.

    Attributes:
        folder: where it lies; relative paths in it start here.
        content: what it says.
    """

    folder: Path
    content: dict[str, Any]

    @staticmethod
    def read(folder: Path) -> DatasetJson:
        """Reads the file.

        Raises:
            DatasetError: it is not JSON, or JSON of another kind.
        """
        content = read_json(folder / "dataset.json", DatasetError)
        if not isinstance(content, dict):
            raise DatasetError(f"{folder / 'dataset.json'}: must hold an object {{…}}, not {_shown(content)}.")
        return DatasetJson(folder, content)

    def fault(self, field: str, problem: str) -> DatasetError:
        """The error for one field; `problem` ends with the remedy."""
        return DatasetError(f"{self.folder / 'dataset.json'}: field '{field}' {problem}")

    def get(self, field: str, kind: type[Any]) -> Any:
        """The value of a field, whose JSON type must be `kind`."""
        if field not in self.content:
            raise self.fault(field, f"is missing. Add it: {_JSON_NAMES[kind]}.")
        value = self.content[field]
        if not is_kind(value, kind):
            raise self.fault(field, f"must be {_JSON_NAMES[kind]}, not {_shown(value)}.")
        return value

    @property
    def name(self) -> str:
        """Of the dataset: what the file says, else the name of the folder."""
        declared = self.content.get("name")
        return declared if isinstance(declared, str) and declared else self.folder.resolve().name

    @property
    def declared_cases(self) -> int | None:
        """The number of training cases the file announces, if it does."""
        return self.get("numTraining", int) if "numTraining" in self.content else None

    def channels(self, field: str) -> tuple[str, ...]:
        """Channel names from `{"0": "T1", "1": "T2"}`."""
        entries = self.get(field, dict)
        if not entries or set(entries) != {str(i) for i in range(len(entries))}:
            raise self.fault(field, f'must number the channels from "0" without gaps, not {_shown(list(entries))}.')
        names = tuple(entries[str(i)] for i in range(len(entries)))
        if not all(isinstance(name, str) and name for name in names):
            raise self.fault(field, f"must give each channel a name, not {_shown(entries)}.")
        return names

    def labels(self, values: dict[str, int], regions: dict[str, Region], ignore: int | None) -> Labels:
        """`Labels`, its complaints turned into those of the field 'labels'."""
        try:
            return Labels(values=values, regions=regions, ignore=ignore)
        except ValidationError as invalid:
            raise self.fault("labels", f"is not consistent: {fault_in_words(invalid.errors()[0])}.") from None

    def path(self, field: str, text: Any) -> Path:
        """A file named in the JSON.

        A relative path is taken from the folder and must stay in it; an absolute one, which
        whoever wrote it must have meant, is taken as it is.
        """
        if not isinstance(text, str) or not text:
            raise self.fault(field, f"must name files, not {_shown(text)}.")
        relative = Path(os.path.normpath(text))  # takes out "./" and "a/..", but asks nothing of the disk
        if relative.parts[:1] == (os.pardir,):
            raise self.fault(field, f"names '{text}', outside the dataset. Use an absolute path if it is meant.")
        return self.folder / relative


def is_kind(value: Any, kind: type[Any]) -> bool:
    """Is a JSON value of this type? `true` is no number, although Python says so."""
    return isinstance(value, kind) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
