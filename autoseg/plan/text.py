"""How a plan is laid out in its file: what is read together stands on one line.

Comes in: JSON data. Goes out: its text.
"""

from __future__ import annotations

import json
from typing import Any

WIDTH = 120  # characters a line, its indentation included
STEP = 2


def as_text(data: Any) -> str:
    """JSON, of which a list or an object that fits a line, and holds no object, stands on one.

    So a list of numbers does, and one of such lists; all else is a line an entry, as in indented JSON.

    Args:
        data: what JSON can say; NaN is refused (ValueError).

    >>> print(as_text({"kernels": [[3, 3], [3, 3]], "range": {"low": 1, "high": 2}, "loss": [{"kind": "dice"}]}))
    {
      "kernels": [[3, 3], [3, 3]],
      "range": {"low": 1, "high": 2},
      "loss": [
        {"kind": "dice"}
      ]
    }
    """
    return _text(data, 0, 0)


def _text(data: Any, indent: int, before: int) -> str:
    """Text of a value, whose first line has so many characters before it and whose last is indented so far."""
    line = json.dumps(data, ensure_ascii=False, allow_nan=False)
    if not isinstance(data, dict | list) or not data or (_is_flat(data) and before + len(line) < WIDTH):
        return line
    inner = indent + STEP
    start = " " * inner
    if isinstance(data, list):
        parts = [start + _text(value, inner, inner) for value in data]
    else:
        names = [start + json.dumps(name, ensure_ascii=False) + ": " for name in data]
        parts = [name + _text(value, inner, len(name)) for name, value in zip(names, data.values(), strict=True)]
    opened, closed = "[]" if isinstance(data, list) else "{}"
    return opened + "\n" + ",\n".join(parts) + "\n" + " " * indent + closed


def _is_flat(data: dict[str, Any] | list[Any]) -> bool:
    """Whether no object is inside, and in an object nothing but numbers, texts and lists of them."""
    values = data.values() if isinstance(data, dict) else data
    return not any(isinstance(value, dict) or (isinstance(value, list) and not _is_flat(value)) for value in values)
