"""A small dataset that looks like abdominal CT, generated: kidneys and their tumours.

Comes in: a folder, a number of cases, a seed. Goes out: a `Dataset` in nnU-Net's layout. The
same seed gives the same voxels, so that results on it can be compared.

    air, a body of soft tissue with a spine and an aorta, a liver, bowel with gas
    two kidneys, bent, bright with contrast agent: label 1
    on most cases one tumour or two, grown into a kidney and out of it: label 2

A tumour has the brightness of the bowel's wall: it is known by its place, not by its value.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from scipy.spatial.transform import Rotation

from autoseg.dataset.dataset import Dataset
from autoseg.dataset.images import write_image, write_label_map
from autoseg.files import write_json
from autoseg.geometry import Grid

KIDNEY, TUMOUR = 1, 2

# Hounsfield units
AIR, GAS, SOFT_TISSUE, DISC, LIVER, BOWEL, AORTA, BONE = -1000, -700, 40, 90, 110, 90, 180, 450
NOISE = 13

Axes = tuple[NDArray[np.float32], ...]  # mm from the centre of the volume along z, y, x; they broadcast
Mask = NDArray[np.bool_]
Millimetres = Sequence[float] | NDArray[np.float64]  # (z, y, x)


def generate_kidneys(
    folder: str | Path,
    cases: int,
    test_cases: int = 0,
    seed: int = 0,
    shape: tuple[int, int, int] = (31, 78, 78),
    spacing_mm: tuple[float, float, float] = (4.0, 2.0, 2.0),
    tumour_mm: tuple[float, float] = (10.5, 15.0),
) -> Dataset:
    """Writes the dataset: imagesTr, labelsTr, dataset.json; for test cases imagesTs and labelsTs.

    Args:
        folder: where to; made if need be.
        cases: how many to train on.
        test_cases: how many besides, whose label maps lie in labelsTs for scoring.
        seed: another seed gives other patients.
        shape: voxels, (z, y, x), about which the cases vary by a tenth.
        spacing_mm: (z, y, x), about which they vary by a twentieth. The anatomy has a fixed
            size of about 120 × 150 × 150 mm, which shape and spacing should cover.
        tumour_mm: radius of the smallest and of the largest tumour; kidneys have 13 to 33 mm.
    """
    folder = Path(folder)
    for number in range(cases + test_cases):
        half = "Tr" if number < cases else "Ts"
        image, label_map, grid = _patient(np.random.default_rng([seed, number]), shape, spacing_mm, tumour_mm)
        write_image(folder / f"images{half}" / f"kidneys_{number:03d}_0000.nii.gz", image, grid)
        write_label_map(folder / f"labels{half}" / f"kidneys_{number:03d}.nii.gz", label_map, grid)
    write_json(
        folder / "dataset.json",
        {
            "name": "Kidneys",
            "channel_names": {"0": "CT"},
            "labels": {"background": 0, "kidney": KIDNEY, "tumour": TUMOUR},
            "numTraining": cases,
            "file_ending": ".nii.gz",
        },
    )
    return Dataset.open(folder)


def _patient(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    tumour_mm: tuple[float, float],
) -> tuple[NDArray[np.int16], NDArray[np.uint8], Grid]:
    grid = _grid(rng, shape, spacing_mm)
    axes = _axes_mm(grid)
    body = _ellipsoid(axes, (0, 0, 0), (1000, rng.uniform(58, 64), rng.uniform(67, 73)))
    image = np.where(body, SOFT_TISSUE + _texture(rng, grid), AIR).astype(np.float32)
    _paint_surroundings(rng, axes, image, body)
    label_map = np.zeros(grid.shape, dtype=np.uint8)
    tumours = rng.choice(3, p=(0.3, 0.5, 0.2))
    for kidneys_before, side in enumerate(rng.permutation([-1, 1])):
        centre = (rng.uniform(-8, 8), rng.uniform(6, 16), side * rng.uniform(34, 39))
        semi_axes = (rng.uniform(26, 33), rng.uniform(15, 19), rng.uniform(13, 17))
        turn = _rotation(rng, degrees=15)
        kidney = _ellipsoid(axes, centre, semi_axes, turn, bend_mm=side * rng.uniform(4, 8)) & body
        image[kidney], label_map[kidney] = rng.uniform(160, 195), KIDNEY
        if kidneys_before < tumours:
            tumour = _tumour(rng, axes, centre, semi_axes, tumour_mm) & body
            image[tumour], label_map[tumour] = rng.uniform(85, 100), TUMOUR
    blurred = ndi.gaussian_filter(image, (0.3, 0.6, 0.6))  # the partial volume effect
    noisy = blurred + rng.normal(0, NOISE, grid.shape)
    return np.clip(np.rint(noisy), -1024, 3071).astype(np.int16), label_map, grid


def _grid(rng: np.random.Generator, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Grid:
    z, y, x = (round(n * rng.uniform(0.92, 1.08)) for n in shape)
    along, across = rng.uniform(0.95, 1.05, 2)  # the in-plane spacings of a CT are equal
    tilt = np.deg2rad(rng.uniform(-10, 10))  # of the patient's head, about the x axis
    cosine, sine = float(np.cos(tilt)), float(np.sin(tilt))
    return Grid(
        shape=(z, y, x),
        spacing_mm=(spacing_mm[0] * along, spacing_mm[1] * across, spacing_mm[2] * across),
        origin=tuple(rng.uniform(-200, 200, 3).tolist()),
        direction=(1.0, 0.0, 0.0, 0.0, cosine, -sine, 0.0, sine, cosine),
    )


def _axes_mm(grid: Grid) -> Axes:
    centred = [(np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(grid.shape, grid.spacing_mm, strict=True)]
    return tuple(axis.astype(np.float32) for axis in np.ix_(*centred))


def _ellipsoid(
    axes: Axes,
    centre_mm: Millimetres,
    semi_axes_mm: Millimetres,
    rotation: NDArray[np.float64] | None = None,
    bend_mm: float = 0.0,
) -> Mask:
    """Where an ellipsoid lies; bent, its two ends along z are moved this far towards lower x."""
    offset = [axis - at for axis, at in zip(axes, centre_mm, strict=True)]
    if rotation is not None:
        offset = [row[0] * offset[0] + row[1] * offset[1] + row[2] * offset[2] for row in rotation]
    z, y, x = (along / size for along, size in zip(offset, semi_axes_mm, strict=True))
    inside: Mask = z**2 + y**2 + (x + bend_mm / semi_axes_mm[2] * z**2) ** 2 <= 1
    return inside


def _rotation(rng: np.random.Generator, degrees: float) -> NDArray[np.float64]:
    angles = rng.uniform(-degrees, degrees, 3)
    matrix: NDArray[np.float64] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    return matrix


def _tumour(
    rng: np.random.Generator,
    axes: Axes,
    kidney_mm: Millimetres,
    semi_axes_mm: Millimetres,
    radius_mm: tuple[float, float],
) -> Mask:
    """An ellipsoid about a point two thirds of the way out of the kidney, so that part of it sticks out."""
    towards = rng.normal(size=3)
    towards /= np.linalg.norm(towards)
    centre = np.add(kidney_mm, 0.65 * towards * semi_axes_mm)
    stretch = np.exp(rng.uniform(-0.2, 0.2, 3))
    size = rng.uniform(*radius_mm) * stretch / np.prod(stretch) ** (1 / 3)
    return _ellipsoid(axes, centre, size, _rotation(rng, degrees=180))


def _paint_surroundings(rng: np.random.Generator, axes: Axes, image: NDArray[np.float32], body: Mask) -> None:
    liver = _ellipsoid(axes, (rng.uniform(0, 15), -22, -35), (45, 28, 30), _rotation(rng, degrees=10))
    image[liver & body] = LIVER + rng.uniform(-10, 10)
    for _ in range(rng.integers(5, 9)):
        centre = (rng.uniform(-60, 60), rng.uniform(-40, -5), rng.uniform(-15, 50))
        size = rng.uniform(8, 15, 3)
        turn = _rotation(rng, degrees=180)
        image[_ellipsoid(axes, centre, size, turn) & body] = BOWEL + rng.uniform(-15, 15)
        if rng.random() < 0.3:
            image[_ellipsoid(axes, centre, size / 2, turn) & body] = GAS
    aorta = _ellipsoid(axes, (0, 24, rng.uniform(-6, 6)), (1000, 8, 8))
    image[aorta & body] = AORTA
    vertebrae = np.sin(axes[0] * (2 * np.pi / 32) + rng.uniform(0, 2 * np.pi)) > -0.7  # with discs between them
    spine = _ellipsoid(axes, (0, 44, 0), (1000, 14, 16))
    image[spine & body] = DISC
    image[spine & vertebrae & body] = BONE


def _texture(rng: np.random.Generator, grid: Grid) -> NDArray[np.float32]:
    """Smooth variation of soft tissue, of 10 HU standard deviation."""
    smooth = ndi.gaussian_filter(rng.standard_normal(grid.shape, dtype=np.float32), (1.5, 3.0, 3.0))
    texture: NDArray[np.float32] = smooth * (10.0 / smooth.std())
    return texture
