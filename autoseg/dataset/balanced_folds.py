"""Folds that keep groups together and are alike.

Comes in: the group of every case, and what its label map holds. Goes out: `Fold`s, each group in the validation half
of exactly one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from autoseg.dataset.dataset import Case, Dataset
from autoseg.dataset.folds import Fold
from autoseg.dataset.images import read_label_map
from autoseg.dataset.labels import Labels
from autoseg.errors import DatasetError
from autoseg.parallel import map_items
from autoseg.progress import Progress, silent

PARTS = 3  # small, middling and large


def balanced_folds(
    groups: Mapping[str, str],
    volumes: Mapping[str, Sequence[float]] | None = None,
    folds: int = 5,
    seed: int = 12345,
) -> tuple[Fold, ...]:
    """Deals groups out to folds, the hardest to place first, each to the fold that has least of what it holds.

    What is spread evenly: the cases, and with volumes the cases that hold a target and those among them in which it is
    small, middling and large. A fold takes no more than its share of the cases; a group that fits nowhere goes where it
    exceeds that least, so folds of single cases differ by one case at most.

    Args:
        groups: case → group.
        volumes: case → the volume of each target; 0 where it has none. None spreads the cases alone.
        folds: how many; fewer where there are fewer groups.
        seed: decides between groups that are alike.

    Raises:
        DatasetError: there is one group only.

    Source: greedy dealing by rarity is the iterative stratification of Sechidis et al. 2011,
    doi:10.1007/978-3-642-23808-6_10, with groups for examples.

    >>> [fold.validation for fold in balanced_folds({"a1": "a", "a2": "a", "b": "b", "c": "c"}, folds=2)]
    [('a1', 'a2'), ('b', 'c')]
    """
    names = sorted(groups)
    members: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        members[groups[name]].append(place)
    if len(members) < 2:
        raise DatasetError(
            f"all {len(names)} cases are of one group, '{next(iter(members), '')}'; cross-validation takes two at "
            "least. Group them by something else."
        )
    count = min(folds, len(members))
    held_out = _dealt(names, members, volumes, [len(names) // count] * count, seed)
    return tuple(_fold(names, half) for half in held_out)


def balanced_parts(
    groups: Mapping[str, str],
    sizes: Sequence[int],
    volumes: Mapping[str, Sequence[float]] | None = None,
    seed: int = 12345,
) -> list[tuple[str, ...]]:
    """Deals groups out to parts of given sizes, as `balanced_folds` does to folds of one size.

    Args:
        groups: case → group.
        sizes: cases of each part; those of all. A part of single cases has just so many.
        volumes: as for `balanced_folds`.
        seed: decides between groups that are alike.

    Returns:
        Names of the cases of each part, in order.

    >>> [len(part) for part in balanced_parts({name: name for name in "abcdefgh"}, [5, 2, 1])]
    [5, 2, 1]
    """
    names = sorted(groups)
    members: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        members[groups[name]].append(place)
    parts = _dealt(names, members, volumes, sizes, seed)
    return [tuple(names[place] for place in sorted(part)) for part in parts]


def _dealt(
    names: Sequence[str],
    members: Mapping[str, Sequence[int]],
    volumes: Mapping[str, Sequence[float]] | None,
    sizes: Sequence[int],
    seed: int,
) -> list[list[int]]:
    """Places of the names that each part gets: of what they hold, in proportion to the parts' sizes."""
    traits = _traits(np.array([(volumes or {}).get(name, ()) for name in names], dtype=np.float64))
    shares = traits / traits.sum(axis=0)
    order = sorted(members)
    np.random.RandomState(seed).shuffle(order)
    order.sort(key=lambda group: -float(shares[members[group]].sum()))
    parts: list[list[int]] = [[] for _ in sizes]
    totals, weights = np.zeros((len(parts), shares.shape[1])), np.array(sizes, dtype=np.float64)
    for group in order:
        added = shares[members[group]].sum(axis=0)
        lengths = np.array([len(part) + len(members[group]) for part in parts])
        excess = np.maximum(0, lengths - np.array(sizes))
        crowding = totals @ added  # what the sum of the squares of all totals grows by, less what is the same for all
        chosen = int(np.lexsort((totals.sum(axis=1) / weights, crowding / weights, excess))[0])
        parts[chosen] += members[group]
        totals[chosen] += added
    return parts


def label_volumes(
    dataset: Dataset, processes: int | None = None, progress: Progress = silent
) -> dict[str, list[float]]:
    """How much of each target every training case holds, mm³, in the order of the dataset's targets.

    Raises:
        DatasetError: a label map is absent, cannot be read, or holds a value that is no label.
    """
    measure = partial(_volumes, labels=dataset.description.labels)
    found = map_items(measure, dataset.cases, processes, "measuring labels", progress, lambda case: case.name)
    return {case.name: volumes for case, volumes in zip(dataset.cases, found, strict=True)}


def _traits(volumes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(cases, traits) of 0 and 1: being a case, holding a target, holding a small, middling or large one."""
    columns = [np.ones(len(volumes))]
    for volume in volumes.T:
        held = volume > 0
        columns.append(held.astype(np.float64))
        rank = np.empty(len(volume))
        rank[np.argsort(np.where(held, volume, np.inf), kind="stable")] = np.arange(len(volume))
        part = np.where(held, rank * PARTS // max(1, held.sum()), PARTS)
        columns += [(part == number).astype(np.float64) for number in range(PARTS)]
    return np.stack([column for column in columns if column.any()], axis=1)


def _volumes(case: Case, labels: Labels) -> list[float]:
    if case.label is None:
        raise DatasetError(f"case '{case.name}': no label map. Add it, or take the case out of the training cases.")
    label_map, grid = read_label_map(case.label)
    try:
        classes = labels.to_classes(label_map)
    except DatasetError as problem:
        raise DatasetError(f"case '{case.name}': {case.label}: {problem}") from None
    voxels = np.bincount(classes[classes > 0], minlength=len(labels.classes))
    voxel_mm3 = float(np.prod(grid.spacing_mm))
    return [float(voxels[list(members)].sum()) * voxel_mm3 for members in labels.target_classes.values()]


def _fold(names: Sequence[str], held_out: Sequence[int]) -> Fold:
    validation = set(held_out)
    return Fold(
        training=tuple(name for place, name in enumerate(names) if place not in validation),
        validation=tuple(names[place] for place in sorted(validation)),
    )
