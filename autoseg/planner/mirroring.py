"""Along which axes a patch may be mirrored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from autoseg.phrases import axes_named
from autoseg.planner.axis_order import AxisOrder
from autoseg.planner.decided import Decided
from autoseg.planner.length import FEW_ITERATIONS, is_short
from autoseg.planner.spacing import AXES

OTHER_SIDE = {"left": "right", "l": "r", "lh": "rh", "lt": "rt"}
OTHER_SIDE |= {right: left for left, right in OTHER_SIDE.items()}
# "LeftKidney", "LKidney", "left1", "kidney_left", "kidney (L)"
WORD_ENDS = re.compile(
    r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])|[^A-Za-z0-9]+"
)


def mirror_axes(
    dimensions: int,
    targets: Iterable[str],
    orientations: Sequence[str | None],
    order: AxisOrder,
    upright: bool = False,
) -> Decided[tuple[int, ...]]:
    """All axes; without the one from left to right where labels come in left/right pairs.

    A mirrored left kidney looks like a right one, and would be learnt under the wrong name. In a
    dataset whose cases are shown in different orientations every axis that is lateral in some
    case is left out; where a case has no orientation (2-D pictures), all are.

    Args:
        dimensions: of the stage; a 2-D stage has the last two of the ordered axes.
        targets: names of what is segmented.
        orientations: of each case as the plan shows it: the common one (`orientation.turned`), or the file's.
        order: which axis of the image so turned, (z, y, x), becomes axis 0, 1, 2 of the array.
        upright: mirror nothing, as `keeps_upright` says.

    Returns:
        Axes of the stage's patch, 0 being its first.

    >>> mirror_axes(3, ["left kidney", "right kidney"], ["LPS", "RAS"], (0, 1, 2)).value
    (0, 1)
    """
    names, known = tuple(targets), sorted({code for code in orientations if code is not None})
    pairs = left_right_pairs(names)
    facts = {"left_right_pairs": pairs, "orientations": known}
    letters = [AXES[axis] for axis in order[-dimensions:]]
    if upright:
        reason = (
            f"In fewer than {FEW_ITERATIONS:,} iterations a network learns more if patients lie as in the scanner. So "
            "nothing is mirrored, and prediction is faster for it."
        )
        longer = mirror_axes(dimensions, names, orientations, order).value
        along = axes_named(letters[axis] for axis in longer)
        alternative = f"In {FEW_ITERATIONS:,} iterations or more, patches would be mirrored along {along}."
        return Decided((), "mirror_axes", facts, reason, alternative)
    lateral = {0, 1, 2} if None in orientations else {_lateral_axis(code) for code in known}
    sideways = tuple(place for place, axis in enumerate(order[-dimensions:]) if axis in lateral)
    if not pairs:
        reason = (
            "No two labels differ only in their side, so patches may be mirrored along all axes. In training they are, "
            "at random; in prediction every window is seen in all its mirror images, and the answers are averaged."
        )
        left_out = axes_named(letters[axis] for axis in sideways)
        alternative = f"With labels for left and right, {left_out} would be left out." if sideways else ""
        return Decided(tuple(range(dimensions)), "mirror_axes", facts, reason, alternative)
    value = tuple(place for place in range(dimensions) if place not in sideways)
    where = _where(sideways, letters, known, None in orientations)
    reason = f"'{pairs[0][0]}' and '{pairs[0][1]}' differ only in their side, mirroring would confuse them: {where}."
    alternative = f"Without such labels, patches would be mirrored along {axes_named(letters)}."
    return Decided(value, "mirror_axes", facts, reason, alternative if sideways else "")


def keeps_upright(iterations: float, orientations: Sequence[str | None]) -> bool:
    """Whether patches are to keep their orientation: few iterations, and images that have one.

    Patients lie in the scanner in one way, and the network profits from that as long as it has
    not learnt much. Measured on hippocampus (benchmarks/results/hippocampus_cpu.md; 3-D, 16 features, batches of
    4, AdamW): after 100 of 300 iterations the Dice over patches is 0.84 without mirroring and 0.74 with it, after
    300 it is 0.87 and 0.84. With 5500 iterations the Dice over whole validation cases is 0.885 without mirroring, and
    0.882 with it and with mirrored views in prediction. From how many iterations on it pays was not measured.

    Args:
        iterations: expected in the whole training.
        orientations: of each case; None for 2-D pictures, which may be of anything from any side.
    """
    return is_short(iterations) and None not in orientations


def left_right_pairs(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of names that differ only in left and right.

    >>> left_right_pairs(["liver", "kidney_left", "kidney_right", "Hippocampus L", "Hippocampus R"])
    [('kidney_left', 'kidney_right'), ('Hippocampus L', 'Hippocampus R')]
    """
    by_words = {_words(name): name for name in names}
    pairs = []
    for words, name in by_words.items():
        other = tuple(OTHER_SIDE.get(word, word) for word in words)
        if other > words and other in by_words:
            pairs.append((name, by_words[other]))
    return pairs


def _words(name: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in WORD_ENDS.split(name) if word)


def _lateral_axis(orientation: str) -> int:
    """The image's axis, 0 for z, that runs from left to right or back; the code is in file order (x, y, z)."""
    return 2 - next(place for place, letter in enumerate(orientation) if letter in "LR")


def _where(sideways: Sequence[int], letters: Sequence[str], orientations: Sequence[str], unknown: bool) -> str:
    """What is left out, and how it is known to run from left to right."""
    stored = f"orientation {', '.join(orientations)}"
    if unknown:
        return "where left is the images do not say, so nothing is mirrored"
    if not sideways:
        return f"but left and right lie in different slices ({stored}), so a slice may be mirrored along both its axes"
    if len(sideways) == 1:
        return f"the axis from left to right, axis {letters[sideways[0]]}, is not mirrored ({stored})"
    either = " or ".join(letters[axis] for axis in sideways)
    return f"the axis from left to right is {either}, by case, and none of them is mirrored ({stored})"
