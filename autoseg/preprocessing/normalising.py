"""Intensities as a network likes them: one small function a kind of normalisation.

Comes in: an image, its non-zero mask if one is asked for, a normalisation a channel.
Goes out: the image with each channel on its new scale.

Source of the formulas: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, Methods.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from autoseg.plan.preprocessing import CTWindow, DivideBy255, NoNormalisation, Normalisation, RescaleToUnit, ZScore

SMALLEST_DIVISOR = 1e-8  # a channel without contrast becomes 0, not infinite

Channel = NDArray[np.float32]  # (z, y, x)
Mask = NDArray[np.bool_]  # (z, y, x)


def normalise_channel(values: Channel, mask: Mask | None, kind: Normalisation, out: Channel) -> None:
    """Brings one channel onto its scale, with no copy but `out`.

    Args:
        values: (z, y, x); stays as it is.
        mask: (z, y, x), the `nonzero_mask`, if the kind needs it.
        kind: of normalisation.
        out: (z, y, x), is filled.
    """
    match kind:
        case ZScore(inside_mask=True):
            assert mask is not None
            out[...] = 0
            inside = values[mask]
            _zscore(inside, inside)
            out[mask] = inside
        case ZScore():
            _zscore(values, out)
        case CTWindow():
            np.clip(values, kind.lower, kind.upper, out=out)
            out -= kind.mean
            out /= max(kind.std, SMALLEST_DIVISOR)
        case RescaleToUnit():
            np.subtract(values, float(values.min(initial=np.inf)), out=out)
            out /= max(float(out.max(initial=0)), SMALLEST_DIVISOR)
        case DivideBy255():
            np.divide(values, 255, out=out)
        case NoNormalisation():
            out[...] = values


def needs_mask(normalisation: Sequence[Normalisation]) -> bool:
    """Whether some channel is normalised over the non-zero region only."""
    return any(isinstance(kind, ZScore) and kind.inside_mask for kind in normalisation)


def nonzero_mask(array: NDArray[np.float32]) -> Mask:
    """Where any channel of a (channels, z, y, x) array is not 0, with the holes filled; (z, y, x)."""
    filled: Mask = ndimage.binary_fill_holes((array != 0).any(axis=0))
    return filled


def _zscore(values: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    if values.size:
        mean, std = _moments(values)
        np.subtract(values, mean, out=out)
        out /= max(std, SMALLEST_DIVISOR)


def _moments(values: NDArray[np.float32]) -> tuple[float, float]:
    """Mean and standard deviation, added up in float64 slice by slice."""
    slices = values if values.ndim == 3 else values[None]
    mean = sum(float(one.sum(dtype=np.float64)) for one in slices) / values.size
    squares = 0.0
    for one in slices:
        apart = (one - np.float64(mean)).ravel()
        squares += float(apart @ apart)
    return mean, math.sqrt(squares / values.size)
