"""What the labels of a plan are called in another dataset, and what of the plan is still that of its own.

Comes in: labels of two datasets, and pairs that a person gave. Goes out: names for names; a stage with the new ones;
sentences on what does not carry over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from autoseg.dataset import Labels
from autoseg.errors import PlanError
from autoseg.geometry import in_mm
from autoseg.phrases import counted
from autoseg.plan import Plan, Stage
from autoseg.plan.loss import output_names
from autoseg.plan.preprocessing import CTWindow


def label_names(theirs: Labels, ours: Labels, asked: Sequence[str] = ()) -> dict[str, str]:
    """Label or region of a plan's own dataset → what it is in this one.

    What was asked for goes first; of the rest, those of the same name are the same; then they go by order.

    Args:
        theirs: labels that the plan was made for.
        ours: of this dataset, with as many outputs.
        asked: THEIRS=OURS.

    Raises:
        PlanError: a name that is asked for is none of theirs or of ours, or is given twice.

    >>> theirs = Labels(values={"background": 0, "kidney": 1, "tumour": 2})
    >>> ours = Labels(values={"background": 0, "lesion": 1, "liver": 2})
    >>> label_names(theirs, ours, ["tumour=lesion"])
    {'background': 'background', 'kidney': 'liver', 'tumour': 'lesion'}
    """
    given = dict(_pairs(asked, theirs, ours))
    return _matched(output_names(theirs), output_names(ours), given) | (
        _matched(_labels(theirs), _labels(ours), given) if theirs.regions and ours.regions else {}
    )


def _matched(theirs: Sequence[str], ours: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    names = {name: given[name] for name in theirs if given.get(name) in ours}
    names |= {name: name for name in theirs if name not in names and name in set(ours) - set(names.values())}
    rest = [name for name in ours if name not in names.values()]
    names |= dict(zip((name for name in theirs if name not in names), rest, strict=False))
    return {name: names[name] for name in theirs if name in names}


def _labels(labels: Labels) -> list[str]:
    """Foreground labels, whether or not they are in regions, by their values."""
    return sorted((name for name, value in labels.values.items() if value), key=labels.values.__getitem__)


def _pairs(asked: Sequence[str], theirs: Labels, ours: Labels) -> Iterator[tuple[str, str]]:
    seen: list[set[str]] = [set(), set()]
    known = [[*(_labels(labels)), *labels.regions] for labels in (theirs, ours)]
    for text in asked:
        parts = text.split("=")
        if len(parts) != 2 or not all(parts):
            raise PlanError(f"--label {text}: expected THEIRS=OURS, as in kidney=liver")
        for name, there, before, whose in zip(parts, known, seen, ("the plan", "this dataset"), strict=True):
            if name not in there:
                raise PlanError(f"--label {text}: {whose} has no label '{name}'; it has {', '.join(there)}")
            if name in before:
                raise PlanError(f"--label {text}: '{name}' of {whose} is given twice; give each label once")
            before.add(name)
        yield parts[0], parts[1]


def relabelled(stage: Stage, names: Mapping[str, str]) -> Stage:
    """A stage whose labels are called as in another dataset.

    Args:
        stage: names labels in its loss, in which patches are likelier, in what it makes of a previous stage, and in its
            postprocessing.
        names: from `label_names`.

    Raises:
        PlanError: it names a label that has no counterpart.
    """

    def renamed(name: str) -> str:
        if name not in names:
            raise PlanError(
                f"--like: '{name}', which the plan names, has no counterpart among this dataset's labels; give it one "
                f"(--label {name}=NAME)."
            )
        return names[name]

    data: dict[str, Any] = stage.model_dump(mode="json")
    for term in data["loss"]:
        if isinstance(term.get("over"), list):
            term["over"] = [
                [renamed(n) for n in one] if isinstance(one, list) else renamed(one) for one in term["over"]
            ]
        term["weights"] = {renamed(name): weight for name, weight in term["weights"].items()}
    if data["sampling"]["grid"] is not None:
        likelier = data["sampling"]["grid"]["likelier"]
        data["sampling"]["grid"]["likelier"] = {renamed(name): times for name, times in likelier.items()}
    for part in ("crop", "mask"):
        if data["previous"] is not None and data["previous"][part] is not None:
            of = data["previous"][part]
            of["labels"] = [renamed(name) for name in of["labels"]]
    for rule in data["postprocessing"]:
        for field in ("target", "becomes"):
            if rule.get(field) is not None:
                rule[field] = renamed(rule[field])
    return Stage.model_validate(data)


def not_carried_over(like: Plan, plan: Plan, names: Mapping[str, str]) -> list[str]:
    """What of a plan that was taken for another dataset is that dataset's, or is not taken, a sentence each.

    Args:
        like: the plan that was taken.
        plan: what was made of it.
        names: its labels → this dataset's.
    """
    theirs, ours = like.dataset, plan.dataset
    told = []
    if taken := [f"'{now}' for its '{before}'" for before, now in names.items() if before != now]:
        told.append(
            f"Plan '{like.name}' was made for other labels, and takes {', '.join(taken)}; "
            "--label THEIRS=OURS says it otherwise."
        )
    if (theirs.name, theirs.channels) == (ours.name, ours.channels):
        return told
    sizes = {in_mm(size) for stage in plan.stages.values() if (size := stage.preprocessing.spacing_mm) is not None}
    measured = [f"voxels of {', '.join(sorted(sizes))} mm"] * bool(sizes)
    windows = {
        f"{channel} is clipped to {kind.lower:g}…{kind.upper:g}"
        + (f" as its {before} is" if before.casefold() != channel.casefold() else "")
        for stage in plan.stages.values()
        for channel, before, kind in zip(ours.channels, theirs.channels, stage.preprocessing.normalisation, strict=True)
        if isinstance(kind, CTWindow)
    }
    told += [
        f"What was measured of '{theirs.name}', for which plan '{like.name}' was made, is taken as it is: "
        f"{'; '.join([*measured, *sorted(windows)])}. Set it for '{ours.name}' where that differs (--set)."
    ] * bool(measured or windows)
    left = ["folds, which are this dataset's own"]
    if plan.budget.minutes is not None:
        left.append(f"the length of its training, for which a model has {counted(plan.budget.minutes, 'minute')}")
    told.append(f"Not taken from plan '{like.name}': {'; '.join(left)}.")
    return told
