"""Windows put together again: against the image itself, and against a slow definition in float64."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef

from autoseg.dataset.labels import Labels, Region
from autoseg.inference.running_sums import RunningSums
from autoseg.inference.sliding_window import (
    averaged,
    grouped_windows,
    padded_shape,
    predict_rows,
    rows_held,
    turned,
    turned_back,
    views_of,
    window_of,
    windows_at_once,
)
from autoseg.inference.tiles import window_starts
from autoseg.networks import devices
from autoseg.plan.inference import View

CPU = torch.device("cpu")
ONE = Labels(values={"background": 0, "lesion": 1}, regions={"lesion": Region(values=(1,), paint=1)})
TWO = Labels(values={"background": 0, "lesion": 1})
SHAPES = [
    pytest.param((8, 6, 4), id="one window"),
    pytest.param((13, 7, 9), id="several windows"),
    pytest.param((3, 2, 1), id="smaller than a window"),
    pytest.param((5, 15, 4), id="smaller along one axis"),
    pytest.param((1, 1, 1), id="one voxel"),
]


def predict_logits(*arguments, **options):
    return torch.cat([rows.clone() for rows in predict_rows(*arguments, **options)], dim=1)


def image(shape, channels=2, seed=0):
    return np.random.default_rng(seed).normal(size=(channels, *shape)).astype(np.float32)


class Identity(nn.Module):
    def forward(self, images):
        return (images, torch.full_like(images, torch.nan))  # lower resolutions are not looked at


class Ramp(nn.Module):
    """Weighs the voxels of a window by their place in it, so that no two views of an image agree."""

    def __init__(self, window, seed):
        super().__init__()
        generator = np.random.default_rng(seed)
        self.factor, self.offset = generator.normal(size=(2, *window))
        self.calls = 0

    def forward(self, images):
        self.calls += 1
        return (images * torch.from_numpy(self.factor).float() + torch.from_numpy(self.offset).float(),)

    def exact(self, window):
        return window * self.factor + self.offset


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mirror_axes", [(), (0,), (0, 1, 2)])
@pytest.mark.parametrize("gaussian_sigma", [0.125, None])
def test_a_network_that_returns_its_input_returns_the_image(make_stage, shape, mirror_axes, gaussian_sigma):
    stage = make_stage((8, 6, 4), channels=2, mirror_axes=mirror_axes, gaussian_sigma=gaussian_sigma)
    logits = predict_logits([Identity()], torch.from_numpy(image(shape)), stage, TWO, CPU)
    assert logits.dtype == torch.float32
    np.testing.assert_allclose(logits, image(shape), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(5, 13, 9), (1, 3, 2), (40, 6, 4), (1, 6, 4)])
@pytest.mark.parametrize("mirror_axes", [(), (1,), (0, 1)])
def test_a_2d_stage_sees_every_slice(make_stage, shape, mirror_axes):
    stage = make_stage((6, 4), channels=2, mirror_axes=mirror_axes)
    logits = predict_logits([Identity()], torch.from_numpy(image(shape)), stage, TWO, CPU)
    np.testing.assert_allclose(logits, image(shape), rtol=0, atol=1e-5)


def by_definition(networks, array, window, overlap, sigma, mirror_axes):
    """Weighted mean over windows of the mean over networks and flips, voxel by voxel, in float64."""
    window = (1,) * (3 - len(window)) + tuple(window)
    overlaps = [0.0 if size == 1 else overlap for size in window]
    short = [max(0, size - n) for size, n in zip(window, array.shape[1:], strict=True)]
    padded = np.pad(array.astype(np.float64), [(0, 0), *((n // 2, n - n // 2) for n in short)])
    weight = np.ones(window)
    for axis, size in enumerate(window):
        along = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / (sigma * size)) ** 2)
        weight *= np.expand_dims(along, tuple(other for other in range(3) if other != axis))
    flips = [chosen for n in range(len(mirror_axes) + 1) for chosen in itertools.combinations(mirror_axes, n)]
    # the axes of a flip are those of the window the network sees
    thin = 3 - networks[0].factor.ndim
    total, weights = np.zeros_like(padded), np.zeros(padded.shape[1:])
    for first in itertools.product(*map(window_starts, padded.shape[1:], window, overlaps)):
        place = tuple(slice(at, at + size) for at, size in zip(first, window, strict=True))
        seen = padded[(slice(None), *place)]
        views = []
        for network, chosen in itertools.product(networks, flips):
            axes = [axis + 1 + thin for axis in chosen]
            flipped = np.flip(seen, axes)
            answer = network.exact(flipped[:, 0])[:, None] if thin else network.exact(flipped)
            views.append(np.flip(answer, axes))
        total[(slice(None), *place)] += np.mean(views, axis=0) * weight
        weights[place] += weight
    inside = tuple(slice(n // 2, n // 2 + size) for n, size in zip(short, array.shape[1:], strict=True))
    return (total / weights)[(slice(None), *inside)]


@pytest.mark.parametrize("networks", [1, 3])
@pytest.mark.parametrize("mirror_axes", [(), (2,), (0, 1, 2)])
@pytest.mark.parametrize("overlap", [0.5, 0.25])
@pytest.mark.parametrize("shape", [(9, 7, 4), (5, 10, 3)])
def test_overlapping_windows_views_and_networks_are_averaged(make_stage, shape, overlap, mirror_axes, networks):
    window = (6, 4, 4)
    stage = make_stage(window, channels=2, overlap=overlap, gaussian_sigma=0.25, mirror_axes=mirror_axes)
    ensemble = [Ramp(window, seed) for seed in range(networks)]
    logits = predict_logits(ensemble, torch.from_numpy(image(shape)), stage, TWO, CPU)
    expected = by_definition(ensemble, image(shape), window, overlap, 0.25, mirror_axes)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("mirror_axes", [(), (0,), (1,), (0, 1)])
def test_overlapping_windows_of_slices(make_stage, mirror_axes):
    stage = make_stage((6, 4), channels=2, mirror_axes=mirror_axes)
    network = Ramp((6, 4), seed=1)
    logits = predict_logits([network], torch.from_numpy(image((3, 11, 7))), stage, TWO, CPU)
    expected = by_definition([network], image((3, 11, 7)), (6, 4), 0.5, 0.125, mirror_axes)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("mirror_axes", "mirror", "views"),
    [((), True, 1), ((0,), True, 2), ((0, 2), True, 4), ((0, 1, 2), True, 8), ((0, 1, 2), False, 1)],
)
def test_every_combination_of_flips_is_a_view(make_stage, mirror_axes, mirror, views):
    network = Ramp((4, 4, 4), seed=0)
    stage = make_stage((4, 4, 4), mirror_axes=mirror_axes)
    predict_logits([network, network], torch.from_numpy(image((6, 4, 4), 1)), stage, ONE, CPU, mirror)
    windows = 2
    assert network.calls == windows * views * 2


def test_progress_adds_up_to_one(make_stage):
    told = []
    stage = make_stage((4, 4, 4))
    predict_logits(
        [Identity()], torch.zeros(1, 9, 8, 4), stage, ONE, CPU, step=lambda done, note: told.append((done, note))
    )
    assert len(told) == 4 * 3
    assert sum(done for done, _ in told) == pytest.approx(1)


@pytest.mark.parametrize(("precision", "seen"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_networks_compute_in_the_plans_precision_and_sums_do_not(make_stage, monkeypatch, precision, seen):
    monkeypatch.setattr(devices, "_cpu_computes_bfloat16", lambda: True)
    dtypes = []

    class Convolution(nn.Module):
        def __init__(self):
            super().__init__()
            self.inside = nn.Conv3d(1, 1, 1)

        def forward(self, images):
            logits = self.inside(images)
            dtypes.append(logits.dtype)
            return (logits,)

    stage = make_stage((4, 4, 4), precision=precision)
    logits = predict_logits([Convolution()], torch.zeros(1, 4, 4, 4), stage, ONE, CPU)
    assert dtypes == [seen]
    assert logits.dtype == torch.float32
    assert not logits.requires_grad


class Small(nn.Module):
    """The identity on a device that holds so many windows at once, and no more."""

    def __init__(self, holds):
        super().__init__()
        self.holds, self.seen = holds, []

    def forward(self, images):
        self.seen.append(len(images))
        if len(images) > self.holds:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return (images,)


def test_where_memory_runs_out_fewer_windows_are_seen_at_once(make_stage):
    stage, network = make_stage((4, 4), channels=2), Small(holds=5)
    logits = predict_logits([network], torch.from_numpy(image((9, 4, 4))), stage, TWO, CPU)
    np.testing.assert_allclose(logits, image((9, 4, 4)), rtol=0, atol=1e-5)
    assert network.seen == [9, 5, 4]


def test_where_not_one_window_fits_that_is_said(make_stage):
    with pytest.raises(torch.OutOfMemoryError):
        predict_logits([Small(holds=0)], torch.zeros(2, 4, 4, 4), make_stage((4, 4, 4), channels=2), TWO, CPU)


def test_other_errors_are_raised_as_they_are(make_stage):
    class Broken(nn.Module):
        calls = 0

        def forward(self, images):
            self.calls += 1
            raise RuntimeError("a kernel failed")

    network = Broken()
    with pytest.raises(RuntimeError, match="a kernel failed"):
        predict_logits([network], torch.zeros(2, 3, 4, 4), make_stage((4, 4), channels=2), TWO, CPU)
    assert network.calls == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_that_is_too_small_keeps_the_sums_on_the_host(make_stage):
    class OnceTooSmall(Identity):
        calls = 0

        def forward(self, images):
            self.calls += 1
            if self.calls == 2:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return super().forward(images)

    stage, device = make_stage((4, 6, 4), channels=2), torch.device("cuda")
    places, parts = [], []
    for rows in predict_rows([OnceTooSmall()], torch.from_numpy(image((9, 6, 4))), stage, TWO, device):
        places.append(rows.device.type)
        parts.append(rows.cpu().clone())
    assert set(places) == {"cpu"}
    np.testing.assert_allclose(torch.cat(parts, dim=1), image((9, 6, 4)), rtol=0, atol=1e-5)


def test_nothing_else_holds_sums_that_are_moved(make_stage, monkeypatch):
    """A GPU's memory is free once the sums are elsewhere, after rows were handed out as well."""
    made, freed = [], []

    def sums(*arguments):
        made.append(RunningSums(*arguments))
        return made[-1]

    class Moving(Identity):
        def forward(self, images):
            held = StorageWeakRef(made[0].sums.untyped_storage())
            with torch.inference_mode(mode=False):
                made[0].sums = made[0].sums.clone()
            freed.append(held.expired())
            return super().forward(images)

    monkeypatch.setattr("autoseg.inference.sliding_window.RunningSums", sums)
    array = torch.from_numpy(image((21, 6, 4)))
    for rows in predict_rows([Moving()], array, make_stage((4, 6, 4), channels=2), TWO, CPU):
        del rows
    assert len(freed) > 5 and all(freed)


@pytest.mark.parametrize("patch", [(8, 6, 4), (6, 4)])
def test_sums_on_a_disk_are_the_same(make_stage, tmp_path, patch):
    stage, array = make_stage(patch, channels=2), torch.from_numpy(image((21, 7, 9)))
    network = Ramp(patch, seed=1)
    there = predict_logits([network], array, stage, TWO, CPU, disk=tmp_path)
    assert torch.equal(there, predict_logits([network], array, stage, TWO, CPU))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("patch", [(8, 6, 4), (6, 4)])
@pytest.mark.parametrize("shape", [(21, 7, 9), (3, 6, 4), (100, 8, 8)])
def test_rows_come_in_order_and_none_is_held_longer_than_windows_overlap(make_stage, patch, shape):
    stage = make_stage(patch, channels=2)
    found = list(predict_rows([Identity()], torch.from_numpy(image(shape)), stage, TWO, CPU))
    assert sum(rows.shape[1] for rows in found) == shape[0]
    assert max(rows.shape[1] for rows in found) <= max(8, 32)
    assert rows_held(padded_shape(shape, stage), stage) <= (8 if len(patch) == 3 else 32)


sizes = st.integers(1, 40)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(patch=st.sampled_from([(4, 4, 4), (8, 4, 2), (8, 4)]), shape=st.tuples(sizes, sizes, sizes))
def test_what_is_said_of_groups_without_listing_them_is_true_of_them(make_stage, patch, shape):
    stage = make_stage(patch)
    padded = padded_shape(shape, stage)
    groups = grouped_windows(padded, stage)
    assert windows_at_once(padded, stage) == max(map(len, groups))
    touched = [group[-1].z + window_of(stage)[0] - group[0].z for group in groups]
    assert rows_held(padded, stage) == max(touched)


def air_stage(make_stage, patch=(4, 4, 4), **changes):
    """Of CT, clipped at -1000 HU and at 1000; up to -900 HU is air."""
    stage = make_stage(patch, air=-900.0, gaussian_sigma=None, **changes)
    window = {"kind": "ct", "lower": -1000.0, "upper": 1000.0, "mean": 100.0, "std": 200.0}
    return type(stage).model_validate(
        stage.model_dump() | {"preprocessing": stage.preprocessing.model_dump() | {"normalisation": [window]}}
    )


@pytest.mark.parametrize("patch", [(4, 4, 4), (4, 4)])
def test_windows_of_air_are_background_without_being_seen(make_stage, patch):
    """Half of the image is air, -950 HU; the network would take everything for lesion."""

    class Lesion(Small):
        def forward(self, images):
            super().forward(images)
            return (torch.cat((-torch.ones_like(images), torch.ones_like(images)), dim=1),)

    hounsfield = np.full((1, 8, 4, 4), -950.0, dtype=np.float32)
    hounsfield[0, 0, 2, 2] = 40
    hounsfield[0, 1, 2, 2] = -899
    hounsfield[0, 2, 2, 2] = -901
    network = Lesion(holds=99)
    logits = predict_logits(
        [network], torch.from_numpy((hounsfield - 100) / 200), air_stage(make_stage, patch), TWO, CPU
    )
    seen = (logits[1] > logits[0]).all(dim=2).all(dim=1)
    # Slices are looked at one by one; windows of 4 slices lie at 0, 2 and 4, and the middle one has nothing but air.
    assert sum(network.seen) == (2 if len(patch) == 2 else 1)
    assert seen.tolist() == [True] * 2 + [False] * 6


def test_air_of_regions_is_no_region(make_stage):
    image = torch.full((1, 4, 4, 4), -5.4)
    logits = predict_logits([Small(holds=0)], image, air_stage(make_stage), ONE, CPU)
    assert (logits == -10).all()


def test_air_is_not_known_where_every_image_has_its_own_scale(make_stage):
    stage = make_stage((4, 4, 4), air=0.0)
    values = stage.model_dump()
    values["preprocessing"]["normalisation"] = [{"kind": "zscore", "inside_mask": False}]
    with pytest.raises(ValueError, match=r"inference\.air 0: with normalisation 'zscore' of the first channel"):
        type(stage).model_validate(values)


TWELVE = [View(quarter_turns=turns, flips=flips) for flips in ((), (0,), (2,)) for turns in range(4)]


@pytest.mark.parametrize(("dimensions", "views"), [(3, TWELVE), (2, TWELVE[:8])])
def test_views_are_turned_back_exactly(dimensions, views):
    windows = torch.randn((2, 3, *(5, 6, 6)[-dimensions:]))
    seen = [turned(windows, view) for view in views]
    assert all(torch.equal(turned_back(one, view), windows) for one, view in zip(seen, views, strict=True))
    assert len({tuple(one.flatten().tolist()) for one in seen}) == len(views)  # no two alike


def test_views_as_numpy_turns_them():
    window = np.arange(2 * 3 * 3).reshape(1, 1, 2, 3, 3)
    for view in TWELVE:
        expected = np.flip(np.rot90(window[0, 0], view.quarter_turns, (1, 2)), view.flips)
        np.testing.assert_array_equal(turned(torch.from_numpy(window), view)[0, 0].numpy(), expected)


def test_twelve_views_are_averaged(make_stage):
    """A network that looks one voxel to the right gives, by view, the neighbour in another direction."""

    class Right(nn.Module):
        def forward(self, images):
            return (torch.roll(images, 1, -1),)

    stage = make_stage((2, 4, 4), views=TWELVE)
    image = torch.randn((1, 1, 2, 4, 4))
    found = averaged([Right()], image, views_of(stage.inference), stage, torch.device("cpu"))
    # Four turns: every direction in the plane once; three times that, in whatever order flips put them.
    around = [torch.roll(image, shift, axis) for axis in (-1, -2) for shift in (1, -1)]
    torch.testing.assert_close(found, sum(around) / 4)
