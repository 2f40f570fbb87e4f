"""Distances between surfaces, against MONAI, SciPy, brute force and spheres."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage as ndi

from autoseg.evaluation.surfaces import SurfaceDistances, boundary, surface_distances

SPACINGS = [(1.0, 1.0, 1.0), (3.0, 0.8, 0.7), (0.05, 2.5, 1.0)]


def blobs(seed: int, shape: tuple[int, ...] = (9, 14, 13), share: float = 0.3) -> NDArray[np.bool_]:
    """Smooth random shapes, some of them cut off by the edge of the array."""
    noise = ndi.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 1.5)
    return np.asarray(noise > np.quantile(noise, 1 - share))


def ball(radius: float, shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> NDArray[np.bool_]:
    """Around the middle of the array; radius in mm."""
    places = np.meshgrid(
        *(step * (np.arange(size) - (size - 1) / 2) for step, size in zip(spacing_mm, shape, strict=True)),
        indexing="ij",
    )
    return np.asarray(sum(place**2 for place in places) <= radius**2)


def by_pairs(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], spacing_mm: tuple[float, ...]
) -> SurfaceDistances:
    """Every boundary voxel with every other, in float64."""
    cross = ndi.generate_binary_structure(prediction.ndim, 1)
    surfaces = [np.argwhere(mask & ~ndi.binary_erosion(mask, cross)) * spacing_mm for mask in (prediction, reference)]
    apart = np.linalg.norm(surfaces[0][:, None] - surfaces[1][None], axis=-1)
    return SurfaceDistances(apart.min(axis=1), apart.min(axis=0))


@pytest.mark.parametrize("spacing_mm", SPACINGS)
@pytest.mark.parametrize("seed", range(3))
def test_distances_are_those_between_all_pairs(seed: int, spacing_mm: tuple[float, ...]) -> None:
    prediction, reference = blobs(seed), blobs(seed + 10)
    found, expected = (each(prediction, reference, spacing_mm) for each in (surface_distances, by_pairs))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.sort(ours), np.sort(theirs), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("spacing_mm", [*SPACINGS, (0.5, 2.0)])
@pytest.mark.parametrize("tolerance_mm", [0.0, 0.7, 2.0])
def test_equals_monai(spacing_mm: tuple[float, ...], tolerance_mm: float) -> None:
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    torch.set_num_threads(1)
    shape = (9, 14, 13)[: len(spacing_mm)]
    for seed in range(3):
        masks = blobs(seed, shape), blobs(seed + 10, shape, share=0.2)
        batches = [torch.from_numpy(mask[None, None].astype(np.float32)) for mask in masks]
        found = surface_distances(*masks, spacing_mm)
        given = {"include_background": True, "spacing": spacing_mm}
        expected = {
            "hd95": metrics.compute_hausdorff_distance(*batches, percentile=95, **given).item(),
            "assd": metrics.compute_average_surface_distance(*batches, symmetric=True, **given).item(),
            "surface dice": metrics.compute_surface_dice(*batches, class_thresholds=[tolerance_mm], **given).item(),
        }
        ours = {"hd95": found.hd95_mm, "assd": found.assd_mm, "surface dice": found.surface_dice(tolerance_mm)}
        assert ours == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (3.0, 1.0, 1.0)])
def test_concentric_spheres(spacing_mm: tuple[float, float, float]) -> None:
    """Surfaces 6 mm apart, give or take the voxels that stand for a sphere."""
    shape = tuple(round(45 / step) | 1 for step in spacing_mm)
    found = surface_distances(ball(14, shape, spacing_mm), ball(20, shape, spacing_mm), spacing_mm)
    assert found.assd_mm == pytest.approx(6, abs=0.5 * max(spacing_mm))
    assert found.hd95_mm == pytest.approx(6, abs=max(spacing_mm))
    assert found.surface_dice(4.0) < 0.1
    assert found.surface_dice(9.0) == 1.0


def test_boxes_moved_by_hand() -> None:
    """A square of 4 × 4 pixels, moved by one of 2 mm: boundaries of 12 pixels each.

    Three pixels of the top and three of the bottom side lie on the other boundary; the two inner ones of one column lie
    1 mm below and above the other's top and bottom side; the whole of the other column lies 2 mm away.
    """
    prediction, reference = np.zeros((2, 6, 7), bool)
    prediction[1:5, 1:5] = reference[1:5, 2:6] = True
    found = surface_distances(prediction, reference, (1.0, 2.0))
    for distances in found:
        assert np.sort(distances).tolist() == [0.0] * 6 + [1.0] * 2 + [2.0] * 4
    assert found.surface_dice(0.0) == pytest.approx(12 / 24)
    assert found.surface_dice(1.0) == pytest.approx(16 / 24)
    assert found.surface_dice(2.0) == 1.0
    assert found.assd_mm == pytest.approx(10 / 12)
    assert found.hd95_mm == 2.0


def test_one_voxel_each() -> None:
    prediction, reference = np.zeros((2, 4, 5, 6), bool)
    prediction[0, 0, 0] = reference[2, 3, 4] = True
    found = surface_distances(prediction, reference, (3.0, 1.0, 0.5))
    expected = (6**2 + 3**2 + 2**2) ** 0.5
    assert (found.hd95_mm, found.assd_mm) == pytest.approx((expected, expected))
    assert (found.surface_dice(6.99), found.surface_dice(7.0)) == (0.0, 1.0)


@pytest.mark.parametrize("spacing", [0.1, 0.7, 0.8, 1 / 3, 0.9765625, 1e-3])
def test_a_distance_equal_to_the_tolerance_is_within_it(spacing: float) -> None:
    prediction, reference = np.zeros((2, 3, 9), bool)
    prediction[1, 1] = reference[1, 7] = True
    assert surface_distances(prediction, reference, (1.0, spacing)).surface_dice(6 * spacing) == 1.0
    assert surface_distances(prediction, reference, (1.0, spacing)).surface_dice(5.999 * spacing) == 0.0


def test_a_mask_against_itself() -> None:
    mask = blobs(5)
    found = surface_distances(mask, mask, (3.0, 1.0, 1.0))
    assert (found.hd95_mm, found.assd_mm, found.surface_dice(0.0)) == (0.0, 0.0, 1.0)


def test_what_lies_between_the_masks_and_the_edge_does_not_matter() -> None:
    prediction, reference = blobs(1), blobs(2)
    wide = [np.pad(mask, ((3, 1), (0, 4), (2, 2))) for mask in (prediction, reference)]
    for narrow, padded in zip(
        surface_distances(prediction, reference, (3.0, 1.0, 0.5)),
        surface_distances(*wide, (3.0, 1.0, 0.5)),
        strict=True,
    ):
        np.testing.assert_array_equal(narrow, padded)


@pytest.mark.parametrize("shape", [(7, 8, 9), (1, 8, 9), (2, 1, 9), (7, 8), (9,)])
def test_boundary_is_the_mask_without_its_erosion(shape: tuple[int, ...]) -> None:
    mask = blobs(3, shape, share=0.7)
    np.testing.assert_array_equal(boundary(mask), mask & ~ndi.binary_erosion(mask))
    full = np.ones(shape, bool)
    np.testing.assert_array_equal(boundary(full), full & ~ndi.binary_erosion(full))
