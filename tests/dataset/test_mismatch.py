from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.dataset.mismatch import Part, describe_mismatch
from autoseg.geometry import plain_grid

GRID = plain_grid((4, 5, 6), (3.0, 2.0, 1.0))


@pytest.mark.parametrize(
    ("change", "first", "second"),
    [
        ({"shape": (4, 5, 16)}, "4 × 5 × 6 voxels of 3.00 × 2.00 × 1.00 mm ", "4 × 5 × 16 voxels of 3.00"),
        ({"spacing_mm": (3.0, 2.0, 1.2)}, "4 × 5 × 6 voxels of 3.00 × 2.00 × 1.00 mm", "× 1.20 mm"),
        ({"origin": (0.0, 5.0, 0.0)}, "1.00 mm, origin (0.00, 0.00, 0.00) mm", "origin (0.00, 5.00, 0.00) mm"),
        (
            {"direction": (-1.0, 0.0, 0.0, 0.0, -1.0, -0.0, 0.0, 0.0, 1.0)},
            "direction (1.00, 0.00, 0.00, 0.00, 1.00, 0.00, 0.00, 0.00, 1.00)",
            "direction (-1.00, 0.00, 0.00, 0.00, -1.00, 0.00, 0.00, 0.00, 1.00)",
        ),
    ],
)
def test_what_differs_is_shown(change, first, second):
    other = Part("channel 10", Path("b"), GRID._replace(**change))
    text = describe_mismatch("channels", [Part("channel 0", Path("a"), GRID), other])
    assert text is not None
    head, *rows = text.split("\n")
    assert head == "channels lie on different grids"
    assert rows[0].startswith("  channel 0   ") and first in rows[0] and rows[0].endswith("   a")
    assert rows[1].startswith("  channel 10  ") and second in rows[1] and rows[1].endswith("   b")


def test_grids_that_agree():
    almost = GRID._replace(origin=(0.01, 0.0, 0.0), spacing_mm=(3.001, 2.0, 1.0))
    assert describe_mismatch("channels", [Part("a", Path("a"), GRID), Part("b", Path("b"), almost)]) is None
