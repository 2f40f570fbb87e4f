"""The part of a plan that says how whole images are predicted."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from autoseg.frozen import Frozen


class Inference(Frozen):
    """A window of the patch's size slides over the image.

    Attributes:
        overlap: fraction of the patch that neighbouring windows share at least, per axis, 0…0.9.
        gaussian_sigma: width of the Gaussian that weights a window's voxels, as a fraction of the
            patch; None weights all alike.
        mirror_axes: test-time augmentation averages over every combination of flips of these axes.
        air: a window in which nothing of the first channel is above this intensity, in the files' units, is background
            without being looked at; None looks at all. Needs a normalisation that is the same for all images: of the
            kinds "ct", "rgb" or "none".
        return_order: on the way back to the image's own grid, 1 interpolates the networks' scores linearly, 0 takes the
            nearest voxel's.
    """

    overlap: float = Field(default=0.5, ge=0, le=0.9)
    gaussian_sigma: float | None = Field(default=0.125, gt=0)
    mirror_axes: tuple[int, ...] = ()
    air: float | None = None
    return_order: Literal[0, 1] = 1
