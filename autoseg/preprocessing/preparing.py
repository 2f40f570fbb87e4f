"""The way in: an image or a label map, as a file holds it, becomes what a network is shown.

Comes in: `Image` and the plan's `Preprocessing`, or a label map and the image's `Placement`.
Goes out: a float32 array (channels, z, y, x) with its `Placement`; an int16 map of classes.

    orientation → crop → order of axes → normalise → resample
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from autoseg.dataset.images import Image
from autoseg.dataset.labels import Labels
from autoseg.errors import DatasetError
from autoseg.fingerprint.crop import nonzero_box
from autoseg.fingerprint.orientation import NO_TURN, Turn, orientation, turn
from autoseg.geometry import Grid, Shape, resampled_shape
from autoseg.plan.preprocessing import Preprocessing
from autoseg.preprocessing.normalising import needs_mask, nonzero_mask, normalise_channel
from autoseg.preprocessing.placement import Placement
from autoseg.preprocessing.voxel_size import Orders

Value = TypeVar("Value", bool, int, float)
Box = tuple[slice, slice, slice]

COARSE_LABEL_ORDER = 0  # classes are taken from the nearest slice along a coarse axis


def prepare_image(
    image: Image, preprocessing: Preprocessing, box: Box | None = None
) -> tuple[NDArray[np.float32], Placement]:
    """Turns, crops, normalises and resamples an image.

    An image whose grid is plain (`geometry.plain_grid`) counts as "LPS"; for an array without any
    grid, make one whose axes run as the plan wants them: `fingerprint.orientation.direction`.
    Intensities are normalised before they are interpolated, so the statistics are the scanner's.

    Args:
        image: (channels, z, y, x), in the file's intensities.
        preprocessing: the plan's.
        box: of the image's own axes, that is kept; None keeps what the plan says.

    Returns:
        The prepared array, (channels, z, y, x), and where it lies on the image.

    Raises:
        DatasetError: the number of channels is not the plan's.
    """
    _check_channels(image, preprocessing)
    if box is None and preprocessing.crop_to_nonzero:
        box = nonzero_box(image.array)
    placement = place(image.grid, preprocessing, box)
    native = placement.view(image.array)
    mask = nonzero_mask(native) if needs_mask(preprocessing.normalisation) else None
    orders = placement.orders_in(preprocessing.image_order, preprocessing.coarse_axis_order)
    prepared = np.empty((len(native), *placement.shape), dtype=np.float32)
    for values, kind, target in zip(native, preprocessing.normalisation, prepared, strict=True):
        if placement.shape == placement.cropped_shape:
            normalise_channel(values, mask, kind, out=target)
        else:
            normalised = np.empty(placement.cropped_shape, dtype=np.float32)
            normalise_channel(values, mask, kind, out=normalised)
            _resample(normalised, orders, target)
    return prepared, placement


def prepare_labels(
    label_map: NDArray[np.integer], placement: Placement, labels: Labels, label_order: int = 1
) -> NDArray[np.int16]:
    """Brings a label map onto the grid of its prepared image.

    Args:
        label_map: (z, y, x), file values, on the image's own grid.
        placement: of the prepared image.
        labels: what the values mean.
        label_order: the plan's; 1 interpolates each class, 0 takes the nearest voxel.

    Returns:
        Class indices and `IGNORE_CLASS`, (z, y, x).

    Raises:
        DatasetError: the map holds a value that the dataset does not declare.
    """
    class_map = labels.to_classes(placement.cut(label_map))
    if placement.shape == placement.cropped_shape:
        return class_map
    return _resample_classes(class_map, placement.shape, placement.orders_in(label_order, COARSE_LABEL_ORDER))


def _resample(channel: NDArray[np.float32], orders: Orders, out: NDArray[np.float32]) -> None:
    import torch  # which takes seconds to load: only where a voxel size changes

    from autoseg.preprocessing.resampling import resample

    resample(torch.from_numpy(channel)[None], out.shape, orders, out=torch.from_numpy(out)[None])


def _resample_classes(class_map: NDArray[np.int16], shape: Shape, orders: Orders) -> NDArray[np.int16]:
    import torch

    from autoseg.preprocessing.resampling_classes import resample_classes

    resampled: NDArray[np.int16] = resample_classes(torch.from_numpy(class_map), shape, orders).numpy()
    return resampled


def _check_channels(image: Image, preprocessing: Preprocessing) -> None:
    found, expected = len(image.array), len(preprocessing.normalisation)
    if found != expected:
        raise DatasetError(
            f"the image has {found} channels where the plan expects {expected}. "
            f"Give one file a channel, in the order of the dataset's channels."
        )


def place(grid: Grid, preprocessing: Preprocessing, box: Box | None = None) -> Placement:
    """Where the prepared array of an image lies.

    Args:
        grid: of the image.
        preprocessing: the plan's.
        box: of the image's own axes, that is kept; None keeps all of it.
    """
    turned = _turn(grid, preprocessing)
    order = _three(turned.axes[axis] for axis in preprocessing.axis_order)
    # A box around what is not 0 is the same box whichever way the image is turned, so it is sought in the file's axes.
    box = box or (slice(0, grid.shape[0]), slice(0, grid.shape[1]), slice(0, grid.shape[2]))
    before_mm = _three(grid.spacing_mm[axis] for axis in order)
    cropped = _three(box[axis].stop - box[axis].start for axis in order)
    shape, spacing_mm = _prepared_size(cropped, before_mm, preprocessing)
    return Placement(
        native_shape=grid.shape,
        native_spacing_mm=grid.spacing_mm,
        origin=grid.origin,
        direction=grid.direction,
        dimensions=grid.dimensions,
        crop=tuple((part.start, part.stop) for part in box),
        axis_order=order,
        reversed=_three(turned.reversed[axis] for axis in preprocessing.axis_order),
        shape=shape,
        spacing_mm=spacing_mm,
    )


def _prepared_size(
    shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], preprocessing: Preprocessing
) -> tuple[tuple[int, int, int], tuple[float, float, float]]:
    """Voxels and their mm after resampling; slices of a 2-D stage, which give two numbers, keep their distance."""
    if preprocessing.resize_to is not None:
        resized = (shape[0], *preprocessing.resize_to)
        sizes = zip(shape, spacing_mm, resized, strict=True)
        return resized, _three(before * mm / after for before, mm, after in sizes)
    assert preprocessing.spacing_mm is not None
    z_mm, y_mm, x_mm = (spacing_mm[0], *preprocessing.spacing_mm)[-3:]
    return resampled_shape(shape, spacing_mm, (z_mm, y_mm, x_mm)), (z_mm, y_mm, x_mm)


def _turn(grid: Grid, preprocessing: Preprocessing) -> Turn:
    wanted = preprocessing.orientation
    found = None if wanted is None else orientation(grid)
    return NO_TURN if found is None or wanted is None else turn(found, wanted)


def _three(values: Iterable[Value]) -> tuple[Value, Value, Value]:
    first, second, third = values
    return first, second, third
