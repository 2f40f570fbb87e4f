"""Rules that are learnt: planted false positives go, and where a rule would hurt, nothing is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset.images import write_label_map
from autoseg.dataset.labels import Labels
from autoseg.geometry import plain_grid
from autoseg.plan.postprocessing import FillHoles, KeepLargest, RemoveSmall
from autoseg.postprocessing import LearningCase, apply, learn_rules

LABELS = Labels(values={"background": 0, "kidney": 1, "tumour": 2})
GRID = plain_grid((8, 24, 24), (2.0, 1.0, 1.0))


def truth(case: int) -> np.ndarray:
    """Two kidneys, one of them with a tumour."""
    label_map = np.zeros(GRID.shape, np.uint8)
    label_map[1:6, 2 + case % 3 : 10, 2:8] = 1
    label_map[1:6, 2:10, 15:21] = 1
    label_map[2:4, 5:8, 4:7] = 2
    return label_map


def cases(folder: Path, spoil, count: int = 6, reference=truth) -> list[LearningCase]:
    """Predictions that are the truth, spoilt."""
    found = []
    for case in range(count):
        paths = folder / "predicted" / f"{case}.nii.gz", folder / "true" / f"{case}.nii.gz"
        true = reference(case)
        spoilt = true.copy()
        spoil(spoilt, case)
        for path, label_map in zip(paths, (spoilt, true), strict=True):
            path.parent.mkdir(exist_ok=True)
            write_label_map(path, label_map, GRID)
        found.append(LearningCase(str(case), *paths))
    return found


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * (one & other).sum() / (one.sum() + other.sum())


@pytest.mark.parametrize("processes", [1, 2])
def test_planted_false_positives_are_removed(tmp_path, processes):
    def plant(label_map, case):
        label_map[7, 20 + case % 3, 20] = 1
        label_map[7, 12, 2:4] = 2

    given = cases(tmp_path, plant)
    learnt = learn_rules(given, LABELS, processes=processes)
    assert learnt.rules == (KeepLargest(count=2),)
    spoilt = [truth(case) for case in range(6)]
    for case, label_map in enumerate(spoilt):
        plant(label_map, case)
        np.testing.assert_array_equal(apply(learnt.rules, label_map, GRID.spacing_mm, LABELS), truth(case))
    by_hand = [dice(one == label, truth(case) == label) for case, one in enumerate(spoilt) for label in (1, 2)]
    assert learnt.before == pytest.approx(np.mean(by_hand))
    assert (learnt.after, learnt.cases) == (1.0, 6)


def test_a_perfect_prediction_is_left_alone(tmp_path):
    learnt = learn_rules(cases(tmp_path, lambda label_map, case: None), LABELS, processes=1)
    assert learnt.rules == ()
    assert (learnt.before, learnt.after) == (1.0, 1.0)
    tried = {one.rule: one for one in learnt.evidence}
    alone = tried[KeepLargest()]  # one kidney of two would go
    assert not alone.kept and alone.difference < -0.1 and "kidney" in alone.harmed
    assert tried[RemoveSmall(target="tumour", least_mm3=18 * 2.0)].difference == 0  # as large as the smallest: it stays


def test_a_voxel_too_little_to_matter(tmp_path):
    """One false voxel beside a large organ costs less than half a thousandth of Dice: no rule is kept for it."""
    grid = plain_grid((16, 24, 24), (1.0, 1.0, 1.0))
    true = np.zeros(grid.shape, np.uint8)
    true[2:14, 2:20, 2:16] = 1
    found = []
    for case in range(4):
        predicted = true.copy()
        predicted[15, 22, 20 + case % 2] = 1
        assert 0.9995 < dice(predicted == 1, true == 1) < 1
        paths = tmp_path / f"predicted_{case}.nii.gz", tmp_path / f"true_{case}.nii.gz"
        write_label_map(paths[0], predicted, grid)
        write_label_map(paths[1], true, grid)
        found.append(LearningCase(str(case), *paths))
    learnt = learn_rules(found, Labels(values={"background": 0, "liver": 1}), processes=1)
    alone = {one.rule: one for one in learnt.evidence}[KeepLargest(target="liver")]
    assert alone.difference is not None and alone.low is not None
    assert 0 < alone.difference < 0.0005 and alone.low > 0 and not alone.harmed
    assert learnt.rules == ()


def test_what_helps_one_label_and_harms_another_is_refused(tmp_path):
    """All foreground merged: false kidneys go, and with them the tumours, which here lie apart."""

    def apart(case):
        label_map = np.zeros(GRID.shape, np.uint8)
        label_map[1:6, 2:20, 2:8] = 1
        label_map[2, 3:5, 20:22] = 2
        return label_map

    def plant(label_map, case):
        label_map[6:, 22:, 10:14] = 1

    learnt = learn_rules(cases(tmp_path, plant, reference=apart), LABELS, processes=1)
    tried = {one.rule: one for one in learnt.evidence}
    assert set(tried[KeepLargest()].harmed) == {"tumour"} and not tried[KeepLargest()].kept
    assert KeepLargest(target="kidney") in learnt.rules
    assert learnt.after == 1.0


def test_a_gamble_is_refused(tmp_path):
    """The mean rises, for one case gains much; but resampling shows that it may as well fall."""

    def one_sided(case):
        label_map = np.zeros(GRID.shape, np.uint8)
        label_map[:, :6, :6] = 1
        if case:
            label_map[0, 20:22, 20:22] = 1  # a second component that is true, in every case but the first
        return label_map

    def plant(label_map, case):
        if not case:
            label_map[:, 15:21, 15:21] = 1
            label_map[:, 15, 15] = 0

    labels = Labels(values={"background": 0, "kidney": 1})
    learnt = learn_rules(cases(tmp_path, plant, reference=one_sided), labels, processes=1)
    [tried] = [one for one in learnt.evidence if one.rule == KeepLargest(target="kidney")]
    assert tried.difference > 0 > tried.low
    assert not tried.kept and KeepLargest(target="kidney") not in learnt.rules


def test_holes(tmp_path):
    def pierce(label_map, case):
        label_map[3, 6, 17] = 0

    learnt = learn_rules(cases(tmp_path, pierce), LABELS, processes=1)
    assert learnt.rules == (FillHoles(target="kidney"),)


def test_a_label_that_is_nowhere_and_too_few_cases(tmp_path):
    labels = Labels(values={**LABELS.values, "cyst": 3})

    def plant(label_map, case):
        label_map[7, 12, 2:4] = 2

    given = cases(tmp_path, plant)
    learnt = learn_rules(given, labels, processes=1)
    assert learnt.after == 1.0 and learnt.before < 1
    assert all(one.difference is None for one in learnt.evidence if one.rule.target == "cyst")
    few = learn_rules(given[:2], labels, processes=1)
    assert (few.rules, few.evidence, few.cases) == ((), (), 2)
    assert few.before == few.after < 1
