"""Columns of plain text, and the numbers in them.

Comes in: rows of cells; scores. Goes out: lines; cells.
"""

from __future__ import annotations

from collections.abc import Sequence

ABSENT = "–"


def aligned(rows: Sequence[Sequence[str]], gap: str = "  ") -> list[str]:
    """Columns side by side.

    >>> aligned([("stage", "batch"), ("2d", "16")])
    ['stage  batch', '2d     16']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [gap.join(map(str.ljust, row, widths)).rstrip() for row in rows]


def shown(number: float | None, digits: int = 3) -> str:
    """A score, or a dash where there is none.

    >>> shown(0.8766), shown(None)
    ('0.877', '–')
    """
    return ABSENT if number is None else f"{number:.{digits}f}"


def with_interval(mean: float | None, low: float | None, high: float | None) -> str:
    """A mean and its interval, if it has one.

    >>> with_interval(0.887, 0.8831, 0.8909), with_interval(0.887, None, None)
    ('0.887 (0.883–0.891)', '0.887')
    """
    return shown(mean) + ("" if low is None else f" ({low:.3f}–{high:.3f})")
