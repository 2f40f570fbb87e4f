"""What the numbers in a label map mean.

Comes in: the labels a dataset declares. Goes out: `Labels`, which turns file values into the
classes a network is trained on and says what is scored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from autoseg.errors import DatasetError
from autoseg.frozen import Frozen
from autoseg.phrases import numbered

IGNORE_CLASS = -1  # in class maps: not annotated, left out of loss and scores
UNDECLARED = -2  # while looking up: no label has this value
LARGEST_TABLE = 2**20  # values that are looked up in a table rather than searched for
LIMIT = 2**31  # what predictions are held in takes smaller values


class Region(Frozen):
    """A union of labels that is segmented and scored as one thing ("whole tumour").

    Attributes:
        values: file values that belong to the region.
        paint: the value a predicted region is written with, one of `values`; later regions paint over earlier ones.
    """

    values: tuple[int, ...]
    paint: int


class Labels(Frozen):
    """The labels of a dataset.

    Attributes:
        values: name → value in the files, background included. Any integers of 32 bits will do.
        regions: name → region, in the order they are painted. Empty: each label stands for itself.
        ignore: the file value of voxels nobody annotated, or None.

    >>> labels = Labels(values={"background": 0, "kidney": 1, "tumour": 2})
    >>> labels.targets
    {'kidney': (1,), 'tumour': (2,)}
    """

    values: dict[str, int]
    regions: dict[str, Region] = Field(default_factory=dict)
    ignore: int | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Labels:
        numbers = list(self.values.values())
        if 0 not in numbers:
            raise ValueError("labels need a background of value 0")
        if len(set(numbers)) != len(numbers):
            raise ValueError(f"two labels have the same value: {self.values}")
        if len(numbers) < 2:
            raise ValueError("labels need at least one besides the background")
        if too_large := [value for value in (*numbers, self.ignore or 0) if not -LIMIT <= value < LIMIT]:
            raise ValueError(
                f"{too_large[0]} is no integer of 32 bits. Give the label another number, there and in maps"
            )
        if self.ignore in numbers:
            raise ValueError(f"the ignore value {self.ignore} is also the value of a label")
        for name, region in self.regions.items():
            unknown = sorted(set(region.values) - set(numbers))
            if unknown or 0 in region.values or not region.values:
                raise ValueError(f"region '{name}' must consist of foreground labels, not {list(region.values)}")
            if region.paint not in region.values:
                members = [f"{label} {value}" for label, value in self.values.items() if value in region.values]
                raise ValueError(
                    f"region '{name}' consists of {', '.join(members)} and must be painted with one of these values, "
                    f"not with {region.paint} (regions_class_order)"
                )
        return self

    @property
    def classes(self) -> tuple[int, ...]:
        """The file value of each class index, ascending by value with the background first."""
        return (0, *sorted(value for value in self.values.values() if value != 0))

    @property
    def targets(self) -> dict[str, tuple[int, ...]]:
        """What is scored: name → the file values that make it up. Regions where there are any."""
        if self.regions:
            return {name: region.values for name, region in self.regions.items()}
        by_value = sorted((value, name) for name, value in self.values.items() if value != 0)
        return {name: (value,) for value, name in by_value}

    @property
    def target_classes(self) -> dict[str, tuple[int, ...]]:
        """`targets` in class indices instead of file values."""
        index = {value: place for place, value in enumerate(self.classes)}
        return {name: tuple(index[value] for value in values) for name, values in self.targets.items()}

    @property
    def outputs(self) -> int:
        """Output channels of a network: one a class (softmax), or one a region (sigmoid)."""
        return len(self.regions) or len(self.classes)

    def to_classes(self, label_map: NDArray[np.integer]) -> NDArray[np.int16]:
        """File values → class indices 0…K-1, and `IGNORE_CLASS`; any shape.

        Raises:
            DatasetError: the map holds a value that the dataset does not declare.
        """
        lookup = {value: index for index, value in enumerate(self.classes)}
        if self.ignore is not None:
            lookup[self.ignore] = IGNORE_CLASS
        low, high = int(label_map.min(initial=0)), int(label_map.max(initial=0))
        if min(lookup) <= low and high <= max(lookup):  # so the table stays small whatever the map holds
            small = high - low < LARGEST_TABLE
            classes = _from_table(label_map, lookup, low, high) if small else _by_search(label_map, lookup)
            if not (classes == UNDECLARED).any():
                return classes
        raise DatasetError(
            f"{self.undeclared(np.unique(label_map).tolist())}. Declare the value in dataset.json, or correct the map."
        )

    def undeclared(self, values: Iterable[int]) -> str | None:
        """The complaint about those values that are not declared, or None where all are.

        >>> Labels(values={"background": 0, "kidney": 1}).undeclared([0, 1, 3])
        'the label map holds value 3, which the dataset does not declare (declared: background 0, kidney 1)'
        """
        found = sorted(set(values) - {*self.values.values(), self.ignore})
        if not found:
            return None
        unknown, declared = numbered("value", found, most=8), self.described()
        return f"the label map holds {unknown}, which the dataset does not declare (declared: {declared})"

    def described(self) -> str:
        """Names and values as people read them: 'background 0, kidney 1'."""
        parts = [f"{name} {value}" for name, value in self.values.items()]
        return ", ".join(parts + ([f"ignore {self.ignore}"] if self.ignore is not None else []))

    def dtype(self) -> type[np.unsignedinteger] | type[np.signedinteger]:
        """The smallest integer type that holds every value a prediction can contain."""
        largest, smallest = max(self.classes), min(self.classes)
        if smallest < 0:
            return np.int16 if smallest >= -(2**15) and largest < 2**15 else np.int32
        return np.uint8 if largest < 2**8 else np.uint16 if largest < 2**16 else np.uint32


def _from_table(label_map: NDArray[np.integer], lookup: Mapping[int, int], low: int, high: int) -> NDArray[np.int16]:
    """The class of every voxel; values lie between `low` and `high`."""
    table = np.full(high - low + 1, UNDECLARED, dtype=np.int16)
    for value, index in lookup.items():
        if low <= value <= high:
            table[value - low] = index
    places = label_map.astype(np.int64)
    places -= low
    return table[places]


def _by_search(label_map: NDArray[np.integer], lookup: Mapping[int, int]) -> NDArray[np.int16]:
    """The same however far apart the values are, as the numbers of an atlas may be; slower."""
    values = np.array(sorted(lookup))
    found = np.searchsorted(values, label_map).clip(max=len(values) - 1)
    classes = np.array([lookup[value] for value in values.tolist()], dtype=np.int16)
    return np.where(values[found] == label_map, classes[found], np.int16(UNDECLARED))
