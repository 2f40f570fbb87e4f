"""The hand-set plans that ship with the package.

Comes in: a name, or the path of a plan. Goes out: its file.
"""

from __future__ import annotations

from pathlib import Path

from autoseg.errors import PlanError

FOLDER = Path(__file__).resolve().parent.parent / "plans"


def shipped_plans() -> dict[str, Path]:
    """Name → file of every plan that ships, by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.json"))}


def find_plan(given: str | Path) -> Path:
    """The file of a plan that ships, by its name; any other path is itself.

    Raises:
        PlanError: a bare name that neither a file nor a plan that ships has.

    >>> find_plan("small_unet_3d").name, str(find_plan("mine/plan.json"))
    ('small_unet_3d.json', 'mine/plan.json')
    """
    path, known = Path(given), shipped_plans()
    if path.exists() or path.suffix or len(path.parts) > 1:
        return path
    if path.name in known:
        return known[path.name]
    raise PlanError(f"'{given}' is neither a file nor a plan that ships with autoseg; these do: {', '.join(known)}.")
