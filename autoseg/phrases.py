"""Numbers and names as people read them, in messages, tables and plans.

Comes in: sizes, numbers, names. Goes out: words.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterable


def by(sizes: Iterable[float]) -> str:
    """Voxels along axes as people read them.

    >>> by((36, 50, 35))
    '36 × 50 × 35'
    """
    return " × ".join(f"{size:.0f}" for size in sizes)


def number(value: float) -> str:
    """A number with the digits that count and without an exponent.

    >>> number(0.00003), number(12.0), number(-1 / 3), number(0.9374), number(250000), number(1234.56), number(990.4)
    ('0.00003', '12', '-0.333', '0.937', '250,000', '1235', '990')
    """
    if value == round(value) or abs(value) >= 100:
        return f"{round(value):,}" if abs(value) >= 10_000 else str(round(value))
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}".rstrip("0").rstrip(".")


def percent(share: float) -> str:
    """A share as people read it.

    >>> percent(0.33), percent(0.125), percent(26.9)
    ('33 %', '12.5 %', '2690 %')
    """
    return f"{number(100 * share)} %"


def counted(count: float, noun: str) -> str:
    """A number of things as people read it.

    >>> counted(1, "case"), counted(20.0, "minute"), counted(0.25, "minute")
    ('1 case', '20 minutes', '0.25 minutes')
    """
    return f"{number(count)} {noun}{'s' * (number(count) != '1')}"


def in_time(minutes: float) -> str:
    """Minutes as people say them.

    >>> in_time(0.4), in_time(1), in_time(25.4), in_time(200)
    ('a minute', 'a minute', '25 minutes', '3.3 hours')
    """
    if minutes >= 120:
        return f"{minutes / 60:.1f} hours"
    return "a minute" if minutes < 1.5 else f"{minutes:.0f} minutes"


def numbered(noun: str, numbers: Iterable[object], most: int | None = None) -> str:
    """Things that have numbers: all of them, or the first.

    >>> numbered("fold", [3]), numbered("fold", range(3)), numbered("value", range(9), most=2)
    ('fold 3', 'folds 0, 1, 2', 'values 0, 1 and 7 more')
    """
    those = list(map(str, numbers))
    return f"{noun}{'s' * (len(those) != 1)} {listed(those, len(those) if most is None else most)}"


def axes_named(names: Iterable[object]) -> str:
    """Axes by their letters or numbers.

    >>> axes_named("zyx"), axes_named([0, 2]), axes_named("x"), axes_named("")
    ('axes z, y and x', 'axes 0 and 2', 'axis x', 'no axis')
    """
    those = list(map(str, names))
    if len(those) < 2:
        return f"axis {those[0]}" if those else "no axis"
    return f"axes {', '.join(those[:-1])} and {those[-1]}"


def listed(names: Iterable[str], most: int = 5) -> str:
    """The first names, and how many more there are.

    >>> listed(["a", "b"]), listed("abcdefg")
    ('a, b', 'a, b, c, d, e and 2 more')
    """
    those = list(names)
    return ", ".join(those[:most]) + (f" and {len(those) - most} more" if len(those) > most else "")


def meant(word: str, known: Collection[str]) -> str:
    """What follows on a name that is not known: the one that it resembles, or those that there are, if not too many.

    >>> meant("3d_fulres", ["2d", "3d_fullres"]), meant("4d", ["2d", "3d_fullres"])
    ("; did you mean '3d_fullres'?", '. There is: 2d, 3d_fullres.')
    """
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f". There is: {', '.join(known)}." if 0 < len(known) <= 20 else "."


def quoted(names: Iterable[str], most: int = 5) -> str:
    """The same, each in quotation marks.

    >>> quoted(["case 1", "case 2"], most=1)
    "'case 1' and 1 more"
    """
    return listed((f"'{name}'" for name in names), most)
