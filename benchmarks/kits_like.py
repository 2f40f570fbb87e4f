"""Generates a dataset like KiTS19's: abdominal CT with two kidneys, and a tumour in one of them.

    python benchmarks/kits_like.py FOLDER [--cases 10] [--seed 0] [--slice-mm 4] [--pixel-mm 2.2] [--extent-mm 320]

    FOLDER/case_00000/imaging.nii.gz, segmentation.nii.gz       background 0, kidney 1, tumour 2

The patients are 350 mm wide, their kidneys take 1 % of the image, as in KiTS19. Spleen, vessels and bowel with
contrast agent are as bright as kidneys, bowel's wall and lymph nodes as tumours: an organ is known by where in the body
it lies, and its border by fine voxels. Slices of 0.8 to 1.25 times --slice-mm and pixels of 0.85 to 1.15 times
--pixel-mm, noise that varies by case; the files' axes are turned as KiTS19's are. KiTS19 itself has 3 to 5 mm and
0.7 to 0.9 mm; pixels are larger here so that a processor can train on them. The same seed gives the same voxels.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from scipy.spatial.transform import Rotation

from autoseg.dataset import Dataset, write_image, write_label_map
from autoseg.geometry import Grid

KIDNEY, TUMOUR = 1, 2
WIDTH_MM = 350.0  # of the image; the body is a little narrower
TURNED = (0.0, 0.0, 1.0, 0.0, 1.0, 0.0, -1.0, 0.0, 0.0)  # direction of KiTS19's files: their first axis is the body's

# Hounsfield units
AIR, FAT, MUSCLE, LIVER, KIDNEY_LIKE, TUMOUR_LIKE, BONE = -1000, -90, 50, 110, (150, 195), (75, 105), 500

Triple = Sequence[float] | NDArray[np.float64]  # (z, y, x), mm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--slice-mm", type=float, default=4.0)
    parser.add_argument("--pixel-mm", type=float, default=2.2)
    parser.add_argument("--extent-mm", type=float, default=320.0)
    arguments = parser.parse_args()
    spacing_mm = (arguments.slice_mm, arguments.pixel_mm)
    generate_kits(arguments.folder, arguments.cases, arguments.seed, *spacing_mm, arguments.extent_mm)


def generate_kits(
    folder: Path,
    cases: int,
    seed: int = 0,
    slice_mm: float = 4.0,
    pixel_mm: float = 2.2,
    extent_mm: float = 320.0,
) -> Dataset:
    """Writes the dataset; cases that are there are kept.

    Args:
        folder: where to; made if need be.
        cases: how many.
        seed: another seed gives other patients.
        slice_mm: distance of slices, about which the cases vary.
        pixel_mm: size of pixels, about which they vary.
        extent_mm: of the image from head to foot; at least 220, or kidneys are cut off.
    """
    for number in range(cases):
        target = folder / f"case_{number:05d}"
        if not (target / "segmentation.nii.gz").is_file():
            rng = np.random.default_rng([seed, number])
            patient = Patient(rng, slice_mm * rng.uniform(0.8, 1.25), pixel_mm * rng.uniform(0.85, 1.15), extent_mm)
            write_image(target / "imaging.nii.gz", patient.scan().transpose(2, 1, 0), patient.grid)
            write_label_map(target / "segmentation.nii.gz", patient.label_map.transpose(2, 1, 0), patient.grid)
    return Dataset.open(folder)


class Patient:
    """A body painted organ by organ, (z, y, x) from head to foot, front to back, right to left."""

    def __init__(self, rng: np.random.Generator, slice_mm: float, pixel_mm: float, extent_mm: float) -> None:
        self.rng, self.spacing_mm = rng, np.array([slice_mm, pixel_mm, pixel_mm])
        slices, pixels = round(extent_mm * rng.uniform(0.9, 1.1) / slice_mm), round(WIDTH_MM / pixel_mm)
        self.shape = (slices, pixels, pixels)
        self.grid = Grid(
            (pixels, pixels, slices), (pixel_mm, pixel_mm, slice_mm), tuple(rng.uniform(-200, 200, 3)), TURNED
        )
        self.image = np.full(self.shape, AIR, dtype=np.float32)
        self.label_map = np.zeros(self.shape, dtype=np.uint8)
        self._paint_body()
        self._paint_organs()
        self._paint_kidneys(shift_mm=rng.uniform(-25, 25))

    def scan(self) -> NDArray[np.int16]:
        """The image as a scanner gives it: partial volumes, noise of this patient's dose."""
        smooth = ndi.gaussian_filter(self.image, (0.3, 0.6, 0.6))
        noise = self.rng.standard_normal(self.shape, dtype=np.float32) * np.float32(self.rng.uniform(15, 30))
        return np.clip(np.rint(smooth + noise), -1024, 3071).astype(np.int16)

    def _paint_body(self) -> None:
        rng, long = self.rng, 10_000.0
        size = np.array([long, rng.uniform(105, 125), rng.uniform(140, 160)])
        self._ellipsoid(FAT, (0, 0, 0), size)
        self._ellipsoid(MUSCLE, (0, 0, 0), size - (0, rng.uniform(8, 20), rng.uniform(8, 20)))
        self._ellipsoid(BONE, (0, 60, 0), (long, 17, 20))
        self._ellipsoid(180, (0, 35, -6), (long, 10, 10))  # aorta
        self._ellipsoid(150, (0, 33, 18), (long, 11, 13))  # vena cava

    def _paint_organs(self) -> None:
        rng = self.rng
        self._ellipsoid(LIVER, (-75, -15, -65), (70, 70, 60), degrees=15)
        self._ellipsoid(rng.uniform(*KIDNEY_LIKE), (-95, 40, 95), (40, 30, 18), degrees=20)  # spleen
        for _ in range(rng.integers(12, 18)):  # bowel
            centre = rng.uniform((-70, -75, -95), (150, 0, 95))
            size = rng.uniform(12, 24, 3)
            if rng.random() < 0.5:
                self._ellipsoid(rng.uniform(*KIDNEY_LIKE), centre, size, degrees=180)
            else:
                self._ellipsoid(rng.uniform(*TUMOUR_LIKE), centre, size, degrees=180)
                self._ellipsoid(-600, centre, size / 2, degrees=180)
        for _ in range(6):  # lymph nodes
            self._ellipsoid(
                rng.uniform(*TUMOUR_LIKE), rng.uniform((-150, 0, -70), (150, 50, 70)), rng.uniform(6, 14, 3)
            )

    def _paint_kidneys(self, shift_mm: float) -> None:
        """Two kidneys, and a tumour that sticks out of one of them."""
        rng, with_tumour = self.rng, self.rng.choice((-1, 1))
        for side in (-1, 1):
            centre = np.array([shift_mm + rng.uniform(-12, 12), rng.uniform(35, 50), side * rng.uniform(58, 72)])
            size = rng.uniform((46, 24, 22), (60, 32, 29))
            self._ellipsoid(rng.uniform(*KIDNEY_LIKE), centre, size, degrees=15, label=KIDNEY)
            self._ellipsoid(FAT, centre - (0, 0, side * 22), (16, 9, 12), label=0)  # the sinus
            if side == with_tumour:
                towards = rng.normal(size=3) * (1, 1, 0) + (0, 0, side)
                towards /= np.linalg.norm(towards)
                radii = rng.uniform(12, 26) * np.exp(rng.uniform(-0.15, 0.15, 3))
                self._ellipsoid(rng.uniform(*TUMOUR_LIKE), centre + 0.8 * towards * size, radii, 180, TUMOUR)

    def _ellipsoid(
        self, value: float, centre_mm: Triple, semi_axes_mm: Triple, degrees: float = 0.0, label: int | None = None
    ) -> None:
        """Paints one, turned by up to these degrees about each axis; only the box that it can reach is computed."""
        reach = np.linalg.norm(semi_axes_mm) if degrees else np.asarray(semi_axes_mm)
        middle = np.asarray(centre_mm) / self.spacing_mm + (np.array(self.shape) - 1) / 2
        low = np.clip(np.floor(middle - reach / self.spacing_mm), 0, self.shape).astype(int)
        high = np.clip(np.ceil(middle + reach / self.spacing_mm) + 1, 0, self.shape).astype(int)
        box = tuple(slice(start, stop) for start, stop in zip(low, high, strict=True))
        axes = np.ix_(*(np.arange(side.start, side.stop) for side in box))
        along = [(axis - at) * mm for axis, at, mm in zip(axes, middle, self.spacing_mm, strict=True)]
        if degrees:
            turn = Rotation.from_euler("xyz", self.rng.uniform(-degrees, degrees, 3), degrees=True).as_matrix()
            along = [row[0] * along[0] + row[1] * along[1] + row[2] * along[2] for row in turn]
        inside = sum((axis / size) ** 2 for axis, size in zip(along, semi_axes_mm, strict=True)) <= 1
        self.image[box][inside] = value
        if label is not None:
            self.label_map[box][inside] = label


if __name__ == "__main__":
    main()
