"""Columns of plain text.

Comes in: rows of cells. Goes out: lines.
"""

from __future__ import annotations

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], gap: str = "  ") -> list[str]:
    """Columns side by side.

    >>> aligned([("stage", "batch"), ("2d", "16")])
    ['stage  batch', '2d     16']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [gap.join(map(str.ljust, row, widths)).rstrip() for row in rows]
