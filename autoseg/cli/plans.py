"""`autoseg plans`: the hand-set plans that ship."""

from __future__ import annotations

from autoseg.cli.display import show


def plans() -> None:
    """Lists the plans that ship with autoseg: published systems, to be taken with --like NAME."""
    from autoseg.plan import read_plan
    from autoseg.plan.shipped import shipped_plans
    from autoseg.reporting.wording import wrapped

    lines = []
    for name, path in shipped_plans().items():
        lines += [name, *wrapped((read_plan(path).notes or ("",))[0], "    ", "    ")]
    show("\n".join([*lines, "", "Take one for a dataset: autoseg plan DATASET --like NAME --name NAME"]))
