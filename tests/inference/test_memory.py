"""Ways to predict an image, and the memory each is said to take."""

from __future__ import annotations

import pytest
import torch

from autoseg.dataset import Description, Labels
from autoseg.inference.memory import NOT_GIVEN_BACK, find_way, inference_bytes

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
CT = Description(name="ct", channels=("CT",), labels=Labels(values={"background": 0, "kidney": 1, "tumour": 2}))
SHAPE = (100, 200, 300)
VOXELS = 100 * 200 * 300


@pytest.fixture
def stage(make_stage):
    """Of windows whose pass takes next to nothing."""
    return make_stage((8, 16, 16))


def ways(stage, device=CPU, used=0, native=SHAPE):
    """What each limit, from a great one to a small one, leads to."""
    found, limit = [], float("inf")
    while True:
        way = find_way(stage, CT, native, SHAPE, device, used, limit)
        if found and way == found[-1]:
            return found
        found.append(way)
        limit = way.host_bytes - 1


def test_less_memory_takes_slower_ways(stage):
    assert [(way.read_ahead, way.sums_on_disk) for way in ways(stage)] == [
        (True, False),
        (False, False),
        (False, True),
    ]
    sizes = [way.host_bytes for way in ways(stage)]
    assert sizes == sorted(sizes, reverse=True)


def test_on_a_gpu_the_sums_are_not_the_hosts(stage):
    assert [(way.read_ahead, way.sums_on_disk) for way in ways(stage, CUDA)] == [(True, False), (False, False)]


def test_reading_ahead_takes_what_reading_takes(stage):
    """A large image in its file, that is small where it is predicted: 8 bytes a voxel while it is read."""
    large = (400, 400, 600)
    ahead, alone, *_ = ways(stage, native=large)
    labels = 2 * 400 * 400 * 600
    now = inference_bytes(stage, CT, SHAPE, CPU) + labels
    reading = 8 * 400 * 400 * 600
    assert ahead.host_bytes == pytest.approx((1 + NOT_GIVEN_BACK) * (reading + now), rel=0.01)
    assert alone.host_bytes == pytest.approx((1 + NOT_GIVEN_BACK) * reading, rel=0.01)


def test_nothing_is_read_ahead_of_a_single_image(stage):
    alone = find_way(stage, CT, SHAPE, SHAPE, CPU, 0, float("inf"), several=False)
    assert not alone.read_ahead
    assert alone.host_bytes < find_way(stage, CT, SHAPE, SHAPE, CPU, 0, float("inf")).host_bytes


def test_what_the_process_has_already_counts(stage):
    before, after = (find_way(stage, CT, SHAPE, SHAPE, CPU, used, float("inf")) for used in (0, 10**9))
    assert after.host_bytes - before.host_bytes == 10**9


def test_sums_are_those_of_the_rows_that_windows_share(make_stage):
    """Twice as tall windows, twice as many rows are held: of 3 outputs and the weights, 4 bytes each."""
    low, tall = (inference_bytes(make_stage(patch), CT, SHAPE, CUDA) for patch in ((8, 8, 8), (16, 8, 8)))
    sums = 4 * (3 + 1) * 8 * 200 * 300
    assert tall - low == pytest.approx(sums, rel=0.05)


@pytest.mark.parametrize(("patch", "rows"), [((8, 16, 16), 8), ((16, 16), 2)])  # some group ends in the next slice
def test_an_image_that_nobody_can_hold_is_reckoned_with_all_the_same(make_stage, patch, rows):
    side = 10**9
    sums = 4 * (3 + 1) * rows * side**2  # float32; three outputs and the weights
    assert inference_bytes(make_stage(patch), CT, (side, side, side), CUDA) == pytest.approx(sums, rel=1e-6)
