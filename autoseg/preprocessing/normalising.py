"""Intensities as a network likes them: one small function a kind of normalisation.

Comes in: an image, its non-zero mask if one is asked for, a normalisation a channel.
Goes out: the image with each channel on its new scale.

Source of the formulas: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, Methods.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from autoseg.plan.preprocessing import CTWindow, DivideBy255, NoNormalisation, Normalisation, RescaleToUnit, ZScore

SMALLEST_DIVISOR = 1e-8  # a channel without contrast becomes 0, not infinite

Channel = NDArray[np.float32]  # (z, y, x)
Mask = NDArray[np.bool_]  # (z, y, x)


def normalise(
    array: NDArray[np.float32], mask: Mask | None, normalisation: Sequence[Normalisation]
) -> NDArray[np.float32]:
    """Brings every channel onto the scale its normalisation says.

    Args:
        array: (channels, z, y, x); stays as it is.
        mask: (z, y, x), the `nonzero_mask`; needed where `needs_mask` says so.
        normalisation: one a channel.
    """
    normalised = np.empty_like(array)
    for channel, (values, kind) in enumerate(zip(array, normalisation, strict=True)):
        normalised[channel] = _normalise_channel(values, mask, kind)
    return normalised


def needs_mask(normalisation: Sequence[Normalisation]) -> bool:
    """Whether some channel is normalised over the non-zero region only."""
    return any(isinstance(kind, ZScore) and kind.inside_mask for kind in normalisation)


def nonzero_mask(array: NDArray[np.float32]) -> Mask:
    """Where any channel of a (channels, z, y, x) array is not 0, with the holes filled; (z, y, x)."""
    filled: Mask = ndimage.binary_fill_holes((array != 0).any(axis=0))
    return filled


def _normalise_channel(values: Channel, mask: Mask | None, kind: Normalisation) -> NDArray[np.floating]:
    match kind:
        case ZScore(inside_mask=True):
            assert mask is not None
            return _zscore_inside(values, mask)
        case ZScore():
            return _zscore(values)
        case CTWindow():
            return (np.clip(values, kind.lower, kind.upper) - kind.mean) / max(kind.std, SMALLEST_DIVISOR)
        case RescaleToUnit():
            return _rescale_to_unit(values)
        case DivideBy255():
            return values / 255
        case NoNormalisation():
            return values


def _zscore(values: Channel) -> NDArray[np.floating]:
    return (values - float(values.mean())) / max(float(values.std()), SMALLEST_DIVISOR)


def _zscore_inside(values: Channel, mask: Mask) -> NDArray[np.floating]:
    normalised = np.zeros_like(values)
    if mask.any():
        normalised[mask] = _zscore(values[mask])
    return normalised


def _rescale_to_unit(values: Channel) -> NDArray[np.floating]:
    above = values - float(values.min())
    return above / max(float(above.max()), SMALLEST_DIVISOR)
