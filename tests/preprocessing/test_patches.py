from __future__ import annotations

import blosc2
import numpy as np
import pytest

from autoseg.preprocessing.patches import read_patch

ARRAY = np.random.default_rng(0).normal(size=(2, 10, 12, 14)).astype(np.float32)


def by_definition(start, size, pad_value):
    """The array in the middle of a sea of padding, then a plain slice."""
    sea = np.pad(ARRAY, [(0, 0), (50, 50), (50, 50), (50, 50)], constant_values=pad_value)
    return sea[
        (slice(None), *(slice(50 + first, 50 + first + count) for first, count in zip(start, size, strict=True)))
    ]


@pytest.mark.parametrize("kind", ["memory", "disk"])
@pytest.mark.parametrize(
    ("start", "size"),
    [
        pytest.param((0, 0, 0), (10, 12, 14), id="all"),
        pytest.param((2, 3, 4), (5, 6, 7), id="inside"),
        pytest.param((-3, 0, 1), (5, 6, 7), id="before"),
        pytest.param((8, 9, 4), (5, 6, 7), id="behind"),
        pytest.param((-5, -5, -5), (30, 30, 30), id="all around"),
        pytest.param((10, 0, 0), (5, 6, 7), id="just missed"),
        pytest.param((3, -20, 3), (5, 6, 7), id="missed altogether"),
        pytest.param((4, 2, 2), (1, 6, 7), id="a slice"),
    ],
)
def test_read_patch(kind, start, size, tmp_path):
    array = ARRAY
    if kind == "disk":
        blosc2.asarray(ARRAY, urlpath=str(tmp_path / "x.b2nd"), mode="w")
        array = blosc2.open(str(tmp_path / "x.b2nd"), mode="r", mmap_mode="r")
    patch = read_patch(array, start, size, pad_value=-1)
    assert isinstance(patch, np.ndarray)
    assert patch.dtype == np.float32
    np.testing.assert_array_equal(patch, by_definition(start, size, -1))
