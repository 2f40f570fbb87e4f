"""Folds of groups: each whole, all alike."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset import Dataset, Fold
from autoseg.dataset.balanced_folds import balanced_folds, balanced_parts, label_volumes
from autoseg.dataset.images import write_label_map
from autoseg.errors import DatasetError
from autoseg.geometry import plain_grid


def grouped(sizes: list[int]) -> dict[str, str]:
    """Cases of groups of these sizes."""
    return {f"p{group:02d}_{number}": f"p{group:02d}" for group, size in enumerate(sizes) for number in range(size)}


def must_part(folds: tuple[Fold, ...], groups: dict[str, str]) -> None:
    """Each case is validated once, and no group is on both sides."""
    assert sorted(name for fold in folds for name in fold.validation) == sorted(groups)
    for fold in folds:
        assert sorted(fold.training + fold.validation) == sorted(groups)
        assert (list(fold.training), list(fold.validation)) == (sorted(fold.training), sorted(fold.validation))
        assert not {groups[name] for name in fold.training} & {groups[name] for name in fold.validation}


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([1] * 10, [2] * 5),
        ([1] * 13, [2, 2, 3, 3, 3]),
        ([4, 4, 4, 4, 4], [4] * 5),
        ([5, 4, 3, 2, 1], [1, 2, 3, 4, 5]),
        ([5, 5, 1, 1, 1, 1, 1, 1, 1, 1, 2], [3, 4, 4, 4, 5]),
        ([20, 1, 1, 1, 1, 1, 1], [1, 1, 2, 2, 20]),
        ([3, 3], [3, 3]),
        ([7, 1, 1], [1, 1, 7]),
    ],
)
def test_groups_stay_whole_and_folds_alike(sizes: list[int], expected: list[int]) -> None:
    groups = grouped(sizes)
    folds = balanced_folds(groups)
    must_part(folds, groups)
    found = sorted(len(fold.validation) for fold in folds)
    assert (len(found), sum(found)) == (len(expected), sum(expected))
    assert max(found) - min(found) <= max(expected) - min(expected)


def test_the_order_of_the_cases_does_not_matter_and_the_seed_does() -> None:
    groups = grouped([1, 2] * 15)
    assert balanced_folds(dict(reversed(groups.items()))) == balanced_folds(groups)
    assert balanced_folds(groups, seed=1) != balanced_folds(groups)
    assert len(balanced_folds(groups, folds=3)) == 3


def test_alike_groups_are_not_dealt_in_the_order_of_their_names() -> None:
    """Names often follow hospitals or dates."""
    first = balanced_folds(grouped([1] * 50))[0].validation
    places = np.array([int(name[1:3]) for name in first])
    assert 10 < places.mean() < 40
    assert len(set(np.diff(places))) > 2


@pytest.mark.parametrize("sizes", [[1] * 97, [1, 1, 2, 3] * 15])
def test_labels_and_their_volumes_are_spread(sizes: list[int]) -> None:
    """A target in all, one in a fifth, one in five cases of all: counted in every fold, and beside chance."""
    generator = np.random.default_rng(0)
    groups = grouped(sizes)
    rare = set(generator.choice(sorted(groups), 5, replace=False))
    volumes = {
        name: [generator.lognormal(3, 1), generator.lognormal(1, 1) * (generator.random() < 0.2), 9.0 * (name in rare)]
        for name in sorted(groups)
    }
    folds = balanced_folds(groups, volumes)
    must_part(folds, groups)
    held = np.array(
        [[sum(volumes[name][target] > 0 for name in fold.validation) for target in (1, 2)] for fold in folds]
    )
    assert np.ptp(held[:, 0]) <= 2
    assert held[:, 1].max() <= 2
    thirds = np.quantile([volume[0] for volume in volumes.values()], [1 / 3, 2 / 3])
    parts = [Counter(np.searchsorted(thirds, volumes[name][0]) for name in fold.validation) for fold in folds]
    for part in range(3):
        counts = [found[part] for found in parts]
        assert max(counts) - min(counts) <= 2
    by_chance = balanced_folds(groups)
    assert np.ptp([sum(volumes[name][1] > 0 for name in fold.validation) for fold in by_chance]) > np.ptp(held[:, 0])


def test_without_groups_sizes_differ_by_one_at_most_whatever_the_labels() -> None:
    generator = np.random.default_rng(1)
    groups = {name: name for name in grouped([1] * 53)}
    volumes = {name: list(generator.lognormal(0, 2, 30) * (generator.random(30) < 0.3)) for name in groups}
    assert {len(fold.validation) for fold in balanced_folds(groups, volumes)} == {10, 11}


def test_labels_nobody_has() -> None:
    groups = {name: name for name in "abcdef"}
    folds = balanced_folds(groups, dict.fromkeys(groups, [0.0, 0.0]))
    must_part(folds, groups)
    assert sorted(len(fold.validation) for fold in folds) == [1, 1, 1, 1, 2]


def test_one_group() -> None:
    with pytest.raises(DatasetError) as raised:
        balanced_folds({"a": "x", "b": "x"})
    assert str(raised.value) == (
        "all 2 cases are of one group, 'x'; cross-validation takes two at least. Group them by something else."
    )


def test_volumes_are_of_the_targets_in_mm3(write_dataset, tmp_path: Path) -> None:
    dataset = Dataset.open(write_dataset())
    label = dataset.cases[0].label
    assert label is not None
    [value] = dataset.description.labels.targets[next(iter(dataset.description.labels.targets))]
    label_map = np.zeros((2, 3, 4), np.uint8)
    label_map[0, 1, 1:3] = value
    write_label_map(label, label_map, plain_grid((2, 3, 4), (3.0, 0.5, 2.0)))
    found = label_volumes(dataset, processes=1)
    assert list(found) == [case.name for case in dataset.cases]
    assert found[dataset.cases[0].name] == [6.0, *[0.0] * (len(dataset.description.labels.targets) - 1)]
    label_map[0, 0, 0] = 99
    write_label_map(label, label_map, plain_grid((2, 3, 4), (3.0, 0.5, 2.0)))
    with pytest.raises(DatasetError, match=f"case '{dataset.cases[0].name}': .*: the label map holds value 99"):
        label_volumes(dataset, processes=1)


def test_a_stratified_split_has_tumours_of_all_sizes_in_each_part():
    """199 and 11 of 210 cases, as Zakirov splits KiTS19; every fifth case has no tumour."""
    rng = np.random.default_rng(0)
    names = [f"case_{number:05d}" for number in range(210)]
    volumes = {name: [rng.uniform(1, 2), rng.lognormal(3, 1.5) * (number % 5 > 0)] for number, name in enumerate(names)}
    training, validation = balanced_parts({name: name for name in names}, [199, 11], volumes)
    assert (len(training), len(validation)) == (199, 11)
    assert sorted([*training, *validation]) == names
    tumours = sorted(volumes[name][1] for name in names if volumes[name][1])
    thirds = [tumours[56], tumours[112]]  # of 168
    counts = np.bincount([1 + int(np.searchsorted(thirds, volumes[n][1])) if volumes[n][1] else 0 for n in validation])
    assert counts.tolist() == [2, 3, 3, 3]


def test_parts_keep_groups_together():
    groups = {f"{group}{number}": group for group in "abcdef" for number in range(4)}
    parts = balanced_parts(groups, [16, 4, 4])
    assert [len(part) for part in parts] == [16, 4, 4]
    assert [len({name[0] for name in part}) for part in parts] == [4, 1, 1]
