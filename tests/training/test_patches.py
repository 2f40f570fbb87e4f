"""Where patches lie: over many draws, and counted."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.preprocessing import Locations
from autoseg.training.patches import draw_in_slice, draw_start, is_foreground_sample

NOWHERE = Locations((), None)
axis = st.tuples(st.integers(1, 40), st.integers(1, 40))  # extent of the volume, size of the patch


def voxels(*places):
    return np.array(places, dtype=np.int32).reshape(-1, 3)


def assert_allowed(start, shape, patch):
    for first, extent, size in zip(start, shape, patch, strict=True):
        if size <= extent:
            assert 0 <= first <= extent - size  # inside the volume
        else:  # the padding is shared between both sides, but for one voxel that may be left over
            before, behind = -first, first + size - extent
            assert before + behind == size - extent
            assert behind - before in (0, 1)


@given(axes=st.tuples(axis, axis, axis), seed=st.integers(0, 2**32))
def test_anywhere_inside_the_volume_or_in_its_middle(axes, seed):
    shape, patch = zip(*axes, strict=True)
    assert_allowed(draw_start(shape, patch, NOWHERE, False, np.random.default_rng(seed)), shape, patch)


@given(axes=st.tuples(axis, axis, axis), seed=st.integers(0, 2**32), data=st.data())
def test_a_foreground_patch_holds_its_voxel(axes, seed, data):
    shape, patch = zip(*axes, strict=True)
    at = tuple(data.draw(st.integers(0, extent - 1)) for extent in shape)
    start = draw_start(shape, patch, Locations((voxels(at),), None), True, np.random.default_rng(seed))
    assert_allowed(start, shape, patch)
    for place, first, size, extent in zip(at, start, patch, shape, strict=True):
        assert first <= place < first + size
        if size // 2 <= place <= extent - (size - size // 2):  # away from the border it is the middle voxel
            assert place - first == size // 2


def count(draws, shape, patch, locations, foreground):
    generator = np.random.default_rng(0)
    return Counter(draw_start(shape, patch, locations, foreground, generator) for _ in range(draws))


def test_every_place_is_as_likely():
    found = count(6000, (4, 3, 5), (2, 3, 5), NOWHERE, False)
    assert set(found) == {(0, 0, 0), (1, 0, 0), (2, 0, 0)}
    assert all(abs(times - 2000) < 150 for times in found.values())  # 4 standard deviations


def test_every_target_is_as_likely_however_small():
    large = voxels(*((z, y, 1) for z in range(10) for y in range(10)))
    small = voxels((5, 5, 18))
    found = count(4000, (10, 10, 20), (1, 1, 1), Locations((large, small, voxels()), None), True)
    assert abs(found[5, 5, 18] - 2000) < 130
    assert len(found) == 101


@pytest.mark.parametrize(
    ("targets", "annotated", "foreground", "expected"),
    [
        pytest.param([[(1, 1, 1)]], [(2, 2, 2), (3, 3, 3)], True, {(1, 1, 1)}, id="foreground comes first"),
        pytest.param([[(1, 1, 1)]], [(2, 2, 2), (3, 3, 3)], False, {(2, 2, 2), (3, 3, 3)}, id="where annotated"),
        pytest.param([[]], [(2, 2, 2)], True, {(2, 2, 2)}, id="no foreground here: where annotated"),
        pytest.param([[]], [], True, "anywhere", id="nothing annotated: anywhere"),
        pytest.param([[]], None, True, "anywhere", id="no foreground, no ignore label: anywhere"),
        pytest.param([[(1, 1, 1)]], None, False, "anywhere", id="foreground is not asked for"),
    ],
)
def test_what_a_patch_is_centred_on(targets, annotated, foreground, expected):
    locations = Locations(
        tuple(voxels(*places) for places in targets), None if annotated is None else voxels(*annotated)
    )
    found = count(400, (4, 4, 4), (1, 1, 1), locations, foreground)
    assert len(found) > 60 if expected == "anywhere" else set(found) == expected


@pytest.mark.parametrize(
    ("batch_size", "fraction", "foreground"),
    [
        (2, 0.33, [1]),
        (4, 0.33, [3]),
        (9, 0.33, [6, 7, 8]),
        (12, 0.33, [8, 9, 10, 11]),
        (3, 0.0, []),
        (3, 1.0, [0, 1, 2]),
    ],
)
def test_which_samples_of_a_batch_are_foreground(batch_size, fraction, foreground):
    """Those from round(batch · (1 - fraction)) on, as in nnU-Net."""
    drawn = [is_foreground_sample(place, batch_size, fraction, None) for place in range(batch_size)]
    assert [place for place, chosen in enumerate(drawn) if chosen] == foreground


def test_a_batch_of_one_is_foreground_as_often():
    generator = np.random.default_rng(0)
    assert 600 < sum(is_foreground_sample(0, 1, 0.33, generator) for _ in range(2000)) < 720


def test_every_slice_with_a_label_is_as_likely_and_the_patch_lies_anywhere_in_it():
    large, small = voxels(*((2, y, x) for y in range(6) for x in range(5))), voxels((7, 0, 0))
    generator, locations = np.random.default_rng(0), Locations((large, small, voxels()), None)
    found = Counter(draw_in_slice((9, 6, 5), (1, 5, 4), locations, generator) for _ in range(8000))
    assert set(found) == {(z, y, x) for z in (2, 7) for y in (0, 1) for x in (0, 1)}
    assert all(abs(times - 1000) < 130 for times in found.values())  # 4 standard deviations


def test_without_a_label_a_patch_lies_in_any_slice():
    generator = np.random.default_rng(0)
    found = {draw_in_slice((3, 4, 4), (1, 4, 4), Locations((voxels(),), None), generator) for _ in range(100)}
    assert found == {(0, 0, 0), (1, 0, 0), (2, 0, 0)}
