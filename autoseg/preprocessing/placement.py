"""What was done to an image's grid while it was prepared, so that it can be undone.

Comes in: the grid of a file, the box that was cut out, how it was turned, the new voxel size.
Goes out: `Placement`, which lies beside every prepared array and leads predictions back.
"""

from __future__ import annotations

from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from autoseg.frozen import Frozen
from autoseg.geometry import Grid
from autoseg.preprocessing.voxel_size import Orders, axis_orders

Three = tuple[int, int, int]
ThreeMM = tuple[float, float, float]
Number = TypeVar("Number", bound=np.generic)


class Placement(Frozen):
    """Where a prepared array lies on the image it was made from.

    native grid → crop → orientation and order of axes → resampling → prepared array

    Attributes:
        native_shape: voxels, (z, y, x), of the file.
        native_spacing_mm: mm, (z, y, x), of the file.
        origin: mm, as the file stores it.
        direction: direction cosines, as the file stores them.
        dimensions: of the file, 2 or 3.
        crop: first voxel and the one after the last, an axis of the file.
        axis_order: which axis of the file became axis 0, 1, 2 of the array.
        reversed: whether axis 0, 1, 2 of the array runs against the file's.
        shape: voxels, of the prepared array.
        spacing_mm: mm, of the prepared array.
    """

    native_shape: Three
    native_spacing_mm: ThreeMM
    origin: tuple[float, ...]
    direction: tuple[float, ...]
    dimensions: Literal[2, 3]
    crop: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    axis_order: Three
    reversed: tuple[bool, bool, bool] = (False, False, False)
    shape: Three
    spacing_mm: ThreeMM

    @property
    def grid(self) -> Grid:
        """The grid of the file."""
        return Grid(self.native_shape, self.native_spacing_mm, self.origin, self.direction, self.dimensions)

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """The part of the file's array that was kept."""
        z, y, x = (slice(start, stop) for start, stop in self.crop)
        return z, y, x

    @property
    def cropped_shape(self) -> Three:
        """Voxels before resampling, in the array's order of axes."""
        z, y, x = (self.crop[axis][1] - self.crop[axis][0] for axis in self.axis_order)
        return z, y, x

    @property
    def cropped_spacing_mm(self) -> ThreeMM:
        """Voxel size before resampling, mm, in the array's order of axes."""
        z, y, x = (self.native_spacing_mm[axis] for axis in self.axis_order)
        return z, y, x

    def cut(self, native: NDArray[Number]) -> NDArray[Number]:
        """Crops an array of the file, (…, z, y, x), and turns its axes into the array's."""
        return np.ascontiguousarray(self.view(native))

    def view(self, native: NDArray[Number]) -> NDArray[Number]:
        """The same without a copy: what is written there is written into the array of the file."""
        return np.flip(
            _ordered(native[(..., *self.box)], self.axis_order),
            tuple(axis - 3 for axis in range(3) if self.reversed[axis]),
        )

    def orders_in(self, order: int, coarse_axis_order: int) -> Orders:
        """The spline order an axis on the way from the file to the prepared array."""
        return self._orders(self.cropped_spacing_mm, self.spacing_mm, order, coarse_axis_order)

    def orders_back(self, order: int, coarse_axis_order: int) -> Orders:
        """The spline order an axis on the way from the prepared array to the file."""
        return self._orders(self.spacing_mm, self.cropped_spacing_mm, order, coarse_axis_order)

    def _orders(self, before_mm: ThreeMM, after_mm: ThreeMM, order: int, coarse_axis_order: int) -> Orders:
        if self.dimensions == 2:  # the spacing along z is made up: no axis is coarse beside it
            return (order, order, order)
        return axis_orders(before_mm, after_mm, order, coarse_axis_order)


def _ordered(array: NDArray[Number], order: Three) -> NDArray[Number]:
    """Puts the last three axes into a new order."""
    leading = array.ndim - 3
    return array.transpose(*range(leading), *(leading + axis for axis in order))
