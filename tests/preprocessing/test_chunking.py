from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.preprocessing.chunking import BLOCK_BYTES, CHUNK_BYTES, chunk_and_block


@pytest.mark.parametrize(
    ("shape", "patch", "itemsize", "chunk", "block"),
    [
        pytest.param((1, 36, 50, 35), (40, 56, 40), 4, (1, 36, 50, 35), (1, 36, 25, 35), id="a case within a patch"),
        pytest.param((1, 300, 512, 512), (128, 128, 128), 4, (1, 64, 128, 128), (1, 32, 32, 32), id="CT"),
        pytest.param((1, 300, 512, 512), (128, 128, 128), 2, (1, 128, 128, 128), (1, 32, 32, 64), id="its labels"),
        pytest.param((4, 20, 320, 320), (256, 256), 4, (1, 20, 256, 256), (1, 1, 128, 256), id="slices"),
    ],
)
def test_chunk_and_block(shape, patch, itemsize, chunk, block):
    assert chunk_and_block(shape, patch, itemsize) == (chunk, block)


@pytest.mark.parametrize("patch", [(1000, 1000), (3000, 4000)])
def test_a_chunk_of_slices_stays_small(patch):
    chunk, block = chunk_and_block((1, 500, 4000, 4000), patch, 4)
    assert math.prod(chunk) * 4 <= CHUNK_BYTES < math.prod(chunk) * 4 * (chunk[1] + 1) / chunk[1] * 2
    assert block[1] == 1


sizes = st.integers(1, 2000)


@given(shape=st.tuples(st.integers(1, 4), sizes, sizes, sizes), patch=st.tuples(sizes, sizes, sizes))
def test_a_block_lies_in_a_chunk_and_a_chunk_in_a_patch(shape, patch):
    chunk, block = chunk_and_block(shape, patch, 4)
    assert all(1 <= b <= c <= min(n, p) for b, c, n, p in zip(block, chunk, shape, (1, *patch), strict=True))
    assert math.prod(chunk) * 4 <= CHUNK_BYTES
    assert math.prod(block) * 4 <= BLOCK_BYTES
