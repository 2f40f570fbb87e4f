"""Which rules help, found on predictions of cases that no model was fitted to.

Comes in: predicted and true label maps. Goes out: `Learnt`: the rules that are kept, and what was found of each that
was tried.

    the largest component of all foreground → of each target → volumes below which → holes

Each step tries its rules on what the steps before have left. A rule is kept where the mean Dice of its target rises
by `LEAST_GAIN` or more, where resampling the cases leaves that standing, and where the mean of no other target falls.

Source of the order and of the first two steps: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, Methods.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoseg.boxes import box_of
from autoseg.dataset.images import read_label_map
from autoseg.dataset.labels import IGNORE_CLASS, Labels
from autoseg.evaluation.intervals import mean_of_columns, paired_difference, resampled_means
from autoseg.evaluation.overlap import count_voxels
from autoseg.frozen import Frozen
from autoseg.parallel import map_items
from autoseg.plan.postprocessing import FillHoles, KeepLargest, RemoveSmall, Rule
from autoseg.postprocessing.apply import apply
from autoseg.postprocessing.components import numbered
from autoseg.progress import Progress, silent

COUNTS = (1, 2)  # components that are kept: organs come alone or in pairs
PERCENTILES = (0.0, 5.0, 10.0)  # of the volumes of true components, as thresholds; and half the smallest
FEWEST_CASES = 3  # with fewer, resampling says nothing
LEAST_GAIN = 0.0005  # of Dice: a rule that gains less is not worth its risk on new images


class LearningCase(NamedTuple):
    """A case that the model which predicted it was not fitted to."""

    name: str
    prediction: Path
    reference: Path


class Tried(Frozen):
    """What was found of a rule.

    Attributes:
        rule: that was tried, after those kept before it.
        kept: whether it was.
        before: mean Dice of its target without it, of all targets for a rule of all foreground; None if none counts.
        after: with it.
        difference: after - before.
        low: lower end of the 95 % interval of the difference, the cases resampled in pairs; None without.
        high: its upper end.
        harmed: targets whose mean Dice falls, and by how much.
    """

    rule: Rule
    kept: bool = False
    before: float | None
    after: float | None
    difference: float | None
    low: float | None
    high: float | None
    harmed: dict[str, float]

    @property
    def helps(self) -> bool:
        """Whether it raises the Dice of its target, by more than nothing and reliably, and lowers none."""
        if self.difference is None or self.low is None or self.harmed:
            return False
        return self.difference >= LEAST_GAIN and self.low >= 0


class Learnt(Frozen):
    """The rules that help.

    Attributes:
        rules: in the order they are applied; empty where nothing helps.
        evidence: every rule that was tried, in order.
        cases: how many it was tried on.
        before: mean Dice over all targets without the rules.
        after: with them.
    """

    rules: tuple[Rule, ...] = ()
    evidence: tuple[Tried, ...] = ()
    cases: int = 0
    before: float | None = None
    after: float | None = None


def learn_rules(
    cases: Sequence[LearningCase], labels: Labels, processes: int | None = None, progress: Progress = silent
) -> Learnt:
    """Tries rules, and keeps those that help.

    Args:
        cases: each predicted by a model that was not fitted to it.
        labels: what the values in both maps mean.
        processes: how many; None for as many as there are cores.
        progress: told of every case, once a step.

    Raises:
        DatasetError: a file is absent or cannot be read.
    """
    found = _try([], (), cases, labels, processes, progress)
    if len(cases) < FEWEST_CASES:
        return Learnt(cases=len(cases), before=_mean(found.before), after=_mean(found.before))
    rules: list[Rule] = []
    evidence: list[Tried] = []
    for step in _steps(labels, found.volumes_mm3):
        tried = _try(step, tuple(rules), cases, labels, processes, progress)
        judged = [_judge(rule, tried.before, after, labels) for rule, after in zip(step, tried.after, strict=True)]
        best = _best_of_each_target(judged)
        rules += [one.rule for one in best]
        evidence += [one.model_copy(update={"kept": one in best}) for one in judged]
    after = _try([], tuple(rules), cases, labels, processes, progress) if rules else found
    return Learnt(
        rules=tuple(rules),
        evidence=tuple(evidence),
        cases=len(cases),
        before=_mean(found.before),
        after=_mean(after.before),
    )


def _steps(labels: Labels, volumes_mm3: dict[str, list[float]]) -> list[list[Rule]]:
    """Rules that are tried at once, a list a step."""
    largest: dict[str, list[Rule]] = {
        target: [KeepLargest(target=target, count=count) for count in COUNTS] for target in labels.targets
    }
    small: dict[str, list[Rule]] = {
        target: [RemoveSmall(target=target, least_mm3=least) for least in _thresholds(volumes_mm3[target])]
        for target in labels.targets
    }
    filled: dict[str, list[Rule]] = {target: [FillHoles(target=target)] for target in labels.targets}
    merged: list[Rule] = [KeepLargest(count=count) for count in COUNTS] if len(labels.targets) > 1 else []
    # What one label loses another does not notice; what a region loses, those in it and around it do.
    kinds = (largest, small, filled)
    apart = [[rules] for kind in kinds for rules in kind.values()]
    together = [list(kind.values()) for kind in kinds]
    rest = [[rule for rules in groups for rule in rules] for groups in (apart if labels.regions else together)]
    return [step for step in (merged, *rest) if step]


def _thresholds(volumes_mm3: Sequence[float]) -> list[float]:
    """Volumes to try, mm³, each once, to three digits: what is smaller than nearly all that is true."""
    if not volumes_mm3:
        return []
    found = np.percentile(volumes_mm3, PERCENTILES)
    return sorted({float(f"{volume:.3g}") for volume in (found[0] / 2, *found)})


class _Measured(NamedTuple):
    """Dice of every target: of a case, by target; of many, (cases, targets), NaN where a case does not count.

    Attributes:
        before: with the rules that are kept.
        after: with one more, an entry a rule that is tried.
        volumes_mm3: target → volumes of the components of the reference; once, where no rule is tried.
    """

    before: NDArray[np.float64]
    after: list[NDArray[np.float64]]
    volumes_mm3: dict[str, list[float]]


def _try(
    step: Sequence[Rule],
    rules: tuple[Rule, ...],
    cases: Sequence[LearningCase],
    labels: Labels,
    processes: int | None,
    progress: Progress,
) -> _Measured:
    what = "scoring for postprocessing" if not step else f"trying postprocessing: {step[0].kind.replace('_', ' ')}"
    measure = partial(_measure, step=step, rules=rules, labels=labels)
    found = map_items(measure, cases, processes, what, progress, lambda case: case.name)
    return _Measured(
        np.array([case.before for case in found]).reshape(len(cases), -1),
        [np.array([case.after[number] for case in found]) for number in range(len(step))],
        {
            target: [volume for case in found for volume in case.volumes_mm3.get(target, [])]
            for target in labels.targets
        },
    )


def _measure(case: LearningCase, step: Sequence[Rule], rules: tuple[Rule, ...], labels: Labels) -> _Measured:
    prediction, grid = read_label_map(case.prediction)
    reference, _ = read_label_map(case.reference)
    box = box_of((prediction != 0) | (reference != 0))
    if box is not None:  # the rest is background in both, and stays that
        prediction, reference = prediction[box].copy(), reference[box].copy()
    if labels.ignore is not None:
        prediction[labels.to_classes(reference) == IGNORE_CLASS] = 0
    prediction = apply(rules, prediction, grid.spacing_mm, labels)
    after = [_dice(apply([rule], prediction, grid.spacing_mm, labels), reference, labels) for rule in step]
    voxel_mm3 = math.prod(grid.spacing_mm)
    volumes = {
        target: (numbered(np.isin(reference, values))[1] * voxel_mm3).tolist()
        for target, values in labels.targets.items()
    }
    return _Measured(_dice(prediction, reference, labels), after, {} if step else volumes)


def _dice(prediction: NDArray[np.integer], reference: NDArray[np.integer], labels: Labels) -> NDArray[np.float64]:
    found = (
        count_voxels(np.isin(prediction, values), np.isin(reference, values)).dice for values in labels.targets.values()
    )
    return np.array([np.nan if dice is None else dice for dice in found], np.float64)


def _judge(rule: Rule, before: NDArray[np.float64], after: NDArray[np.float64], labels: Labels) -> Tried:
    targets = list(labels.targets)
    columns = slice(None) if rule.target is None else [targets.index(rule.target)]
    difference = paired_difference(before[:, columns], after[:, columns])
    others = {target: (_mean(before[:, [place]]), _mean(after[:, [place]])) for place, target in enumerate(targets)}
    return Tried(
        rule=rule,
        before=_mean(before[:, columns]),
        after=_mean(after[:, columns]),
        difference=difference.mean,
        low=difference.low,
        high=difference.high,
        harmed={
            target: then - now
            for target, (now, then) in others.items()
            if now is not None and then is not None and then < now
        },
    )


def _best_of_each_target(judged: Sequence[Tried]) -> list[Tried]:
    best: dict[str | None, Tried] = {}
    for one in judged:
        now = best.get(one.rule.target)
        if one.helps and (now is None or (one.difference or 0) > (now.difference or 0)):
            best[one.rule.target] = one
    return list(best.values())


def _mean(values: NDArray[np.float64]) -> float | None:
    return mean_of_columns(values, resampled_means(values)).mean
