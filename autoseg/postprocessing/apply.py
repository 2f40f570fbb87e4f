"""Rules applied to a label map.

Comes in: rules, a label map on any grid and, where a rule asks for them, the probabilities it was decided from. Goes
out: a new label map. What a rule removes becomes what lies beneath: the value of the innermost region around it, or
background. Work is done on the box around a target, so it takes the time and memory of that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from autoseg.boxes import box_of
from autoseg.dataset.labels import Labels
from autoseg.errors import PlanError
from autoseg.plan.postprocessing import FillHoles, KeepLargest, RemoveSmall, RemoveUncertain, Rule, names_in
from autoseg.postprocessing.components import (
    Mask,
    components_above,
    components_of_size,
    holes,
    largest_components,
)


def apply(
    rules: Sequence[Rule],
    label_map: NDArray[np.integer],
    spacing_mm: Sequence[float],
    labels: Labels,
    probabilities: NDArray[np.floating] | None = None,
) -> NDArray[np.integer]:
    """Applies rules one after the other.

    Args:
        rules: in order.
        label_map: (z, y, x), file values; it is not changed.
        spacing_mm: between voxel centres along (z, y, x).
        labels: what the values mean.
        probabilities: (outputs, z, y, x), 0…1, one channel a class or region; may be mapped from a file.

    Returns:
        (z, y, x), of the same type.

    Raises:
        PlanError: a rule is for a target that the dataset has not, or asks for probabilities and there are none.

    >>> labels = Labels(values={"background": 0, "kidney": 1})
    >>> apply([KeepLargest()], np.array([[[1, 1, 0, 1]]]), (1.0, 1.0, 1.0), labels).tolist()
    [[[1, 1, 0, 0]]]
    """
    must_fit(rules, labels)
    changed = label_map.copy()
    for rule in rules:
        if isinstance(rule, RemoveUncertain) and probabilities is None:
            raise PlanError(f"postprocessing '{rule.kind}' of '{rule.target}' looks at probabilities; give them, too.")
        box = box_of(_mask(rule.target, changed, labels))
        if box is None:
            continue
        part: NDArray[np.integer] = changed[box]
        mask = _mask(rule.target, part, labels)
        if isinstance(rule, FillHoles):
            part[holes(mask) & (part == 0)] = _paint(rule.target, labels)
            continue
        channel = None
        if isinstance(rule, RemoveUncertain) and probabilities is not None:
            channel = probabilities[_channel(rule.target, labels)][box]
        removed = mask & ~_kept(rule, mask, spacing_mm, channel)
        if isinstance(rule, RemoveUncertain) and rule.becomes is not None:
            part[removed] = _paint(rule.becomes, labels)
        else:
            _remove(part, removed, rule.target, labels)
    return changed


def must_fit(rules: Sequence[Rule], labels: Labels) -> None:
    """Refuses rules for what a dataset has not.

    Raises:
        PlanError: a rule's target is no target of the labels.
    """
    for rule in rules:
        for named in names_in(rule):
            if named not in labels.targets:
                raise PlanError(
                    f"postprocessing '{rule.kind}' is for '{named}', which this dataset does not predict. "
                    f"Name one of {', '.join(labels.targets)}, or null for all foreground."
                )


def _kept(
    rule: KeepLargest | RemoveSmall | RemoveUncertain,
    mask: Mask,
    spacing_mm: Sequence[float],
    channel: NDArray[np.floating] | None,
) -> Mask:
    match rule:
        case KeepLargest():
            return largest_components(mask, rule.count)
        case RemoveSmall():
            # A little less, so that a component of just that volume stays whatever the rounding.
            return components_of_size(mask, rule.least_mm3 / math.prod(spacing_mm) * (1 - 1e-9))
        case RemoveUncertain():
            assert channel is not None
            return components_above(mask, channel, rule.least_probability)


def _remove(part: NDArray[np.integer], removed: Mask, target: str | None, labels: Labels) -> None:
    """Writes what lies beneath a target where it is removed."""
    if target is None or not labels.regions:
        part[removed] = 0
        return
    inner = set(labels.regions[target].values)
    # Where a voxel has a value of the target, every region that holds the target whole is there, too.
    around = [region for region in labels.regions.values() if set(region.values) > inner and region.paint not in inner]
    innermost = min(around, key=lambda region: len(region.values), default=None)
    part[removed] = 0 if innermost is None else innermost.paint


def _mask(target: str | None, label_map: NDArray[np.integer], labels: Labels) -> Mask:
    if target is None:
        foreground: Mask = label_map != 0
        return foreground
    values = labels.targets[target]
    mask: Mask = label_map == values[0]
    for value in values[1:]:
        mask |= label_map == value
    return mask


def _paint(target: str, labels: Labels) -> int:
    return labels.regions[target].paint if labels.regions else labels.targets[target][0]


def _channel(target: str, labels: Labels) -> int:
    """Which channel of probabilities is the target's; without regions the first is the background's."""
    return list(labels.targets).index(target) + (not labels.regions)
