"""The part of a plan that says how whole images are predicted."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from autoseg.frozen import Frozen


class View(Frozen):
    """One way to turn a window before the network sees it; what it says is turned back.

    Attributes:
        quarter_turns: by 90° in the plane of the stage's last two axes, from the last but one towards the last.
        flips: axes that are then reversed, 0 for the stage's first.
    """

    quarter_turns: Literal[0, 1, 2, 3] = 0
    flips: tuple[int, ...] = ()

    def orientation(self, dimensions: int) -> tuple[int, ...]:
        """Where the corners and edges of a window end up: the same for two views exactly if they are the same.

        >>> View(quarter_turns=2).orientation(3) == View(flips=(1, 2)).orientation(3)
        True
        """
        window = np.arange(2**dimensions).reshape((2,) * dimensions)
        return tuple(np.flip(np.rot90(window, self.quarter_turns, (-2, -1)), self.flips).ravel().tolist())


class Inference(Frozen):
    """A window of the patch's size slides over the image.

    Attributes:
        overlap: fraction of the patch that neighbouring windows share at least, per axis, 0…0.9.
        gaussian_sigma: width of the Gaussian that weights a window's voxels, as a fraction of the
            patch; None weights all alike.
        mirror_axes: test-time augmentation averages over every combination of flips of these axes.
        views: test-time augmentation averages over these instead, no two of them the same.
        air: a window in which nothing of the first channel is above this intensity, in the files' units, is background
            without being looked at; None looks at all. Needs a normalisation that is the same for all images: of the
            kinds "ct", "rgb" or "none".
        return_order: on the way back to the image's own grid, 1 interpolates the networks' scores linearly, 0 takes the
            nearest voxel's.
    """

    overlap: float = Field(default=0.5, ge=0, le=0.9)
    gaussian_sigma: float | None = Field(default=0.125, gt=0)
    mirror_axes: tuple[int, ...] = ()
    views: tuple[View, ...] = ()
    air: float | None = None
    return_order: Literal[0, 1] = 1

    @model_validator(mode="after")
    def _views_or_mirrors(self) -> Inference:
        if self.views and self.mirror_axes:
            raise ValueError(
                f"views: {len(self.views)} are listed, and mirror_axes {list(self.mirror_axes)} name others; "
                "set one of the two to []"
            )
        return self
