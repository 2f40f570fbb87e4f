"""What is scored: regions and single labels.

Comes in: the labels of a dataset, and unions of labels somebody asks for. Goes out: name → file values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autoseg.dataset.labels import Labels
from autoseg.errors import DatasetError


def scored_targets(labels: Labels, regions: Mapping[str, Sequence[int]] | None = None) -> dict[str, tuple[int, ...]]:
    """What a model of these labels predicts, then the single labels in its regions, then the regions asked for.

    Of a dataset with regions, a label is scored by itself where predictions can hold it, that is where some region is
    painted with its value, and where it is not a region already.

    Args:
        labels: what the values mean.
        regions: name → values, unions of labels to score besides.

    Raises:
        DatasetError: a region asked for holds no value, or one that is no label; its name is taken, or is not one line.

    >>> scored_targets(Labels(values={"background": 0, "kidney": 1, "tumour": 2}), {"both": (1, 2)})
    {'kidney': (1,), 'tumour': (2,), 'both': (1, 2)}
    """
    targets = dict(labels.targets)
    scored = {frozenset(values) for values in targets.values()}
    painted = {region.paint for region in labels.regions.values()}
    for name, value in sorted(labels.values.items(), key=lambda item: item[1]):
        if value in painted and frozenset((value,)) not in scored:
            targets[f"{name} alone" if name in targets else name] = (value,)
    for name, values in (regions or {}).items():
        targets[name] = _checked(name, values, labels, targets)
    return targets


def _checked(
    name: str, values: Sequence[int], labels: Labels, targets: Mapping[str, tuple[int, ...]]
) -> tuple[int, ...]:
    unknown = sorted(set(values) - {value for value in labels.values.values() if value != 0})
    if unknown or not values:
        found = f"holds {', '.join(map(str, unknown))}" if values else "holds nothing"
        raise DatasetError(
            f"region '{name}' {found}; a region consists of labels other than the background "
            f"({labels.described()}). Correct its values."
        )
    if not name.isprintable():
        raise DatasetError(f"region {name!r}: a name is one line of printable characters. Call it something else.")
    if name == "mean" or labels.values.get(name) == 0:
        raise DatasetError(f"region '{name}': in scores this name means something else. Call it something else.")
    if name in targets:
        raise DatasetError(f"region '{name}': something of this name is scored already. Call it something else.")
    return tuple(values)
