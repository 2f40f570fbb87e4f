"""Files of the store that were damaged are named, with the way to make them anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.errors import WorkspaceError
from autoseg.preprocessing import PreparedCase
from autoseg.preprocessing.arrays import write_array
from autoseg.preprocessing.patches import read_patch

SHAPE = (1, 40, 40, 40)


@pytest.fixture
def case(tmp_path: Path) -> PreparedCase:
    noise = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    found = PreparedCase("case", tmp_path)
    write_array(found.image_path, noise, (16, 16, 16))
    np.savez(found.locations_path, **{"0": np.zeros((1, 3), np.int32)})
    return found


@pytest.mark.parametrize("length", [0, 10, 1000])
def test_an_array_that_was_cut_short(case, length):
    case.image_path.write_bytes(case.image_path.read_bytes()[:length])
    with pytest.raises(WorkspaceError) as refused:
        read_patch(case.image(), (0, 0, 0), SHAPE[1:], 0)
    assert str(refused.value) == (
        f"{case.image_path}: damaged. Remove it and run the same command again: the case is prepared anew."
    )


def test_an_array_with_a_hole(case):
    content = bytearray(case.image_path.read_bytes())
    content[len(content) // 3 : 2 * len(content) // 3] = bytes(len(content) // 3)
    case.image_path.write_bytes(content)
    with pytest.raises(WorkspaceError, match=r"case\.image\.b2nd: damaged\. Remove it"):
        read_patch(case.image(), (0, 0, 0), SHAPE[1:], 0)


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04 junk"])
def test_damaged_locations(case, content):
    case.locations_path.write_bytes(content)
    with pytest.raises(WorkspaceError, match=r"case\.locations\.npz: damaged"):
        case.locations()
