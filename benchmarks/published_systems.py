"""The published KiTS19 systems that ship as plans: what they are called here, and what their papers report.

Dice where nothing else is said; "kidney" of the challenge is kidney and tumour together.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Published(NamedTuple):
    """A system and what was reported of it.

    Attributes:
        title: for tables and figures.
        folds: of five that its paper's split is nearest to: all of a cross-validation, or one where it had one split.
        split: what the paper trained and tested on.
        reported: what it found.
    """

    title: str
    folds: tuple[int, ...]
    split: str
    reported: str


ALL = (0, 1, 2, 3, 4)
PLANNED = "planned"
PUBLISHED: dict[str, Published] = {
    PLANNED: Published(
        "planned by autoseg",
        ALL,
        "5-fold cross-validation",
        "nnU-Net, 3d_fullres: kidney and tumour 0.970, tumour 0.837",
    ),
    "residual_unet_3d": Published(
        "residual 3D U-Net", ALL, "5-fold cross-validation", "kidney 0.945, tumour 0.549, mean 0.747"
    ),
    "plain_unet_3d": Published(
        "plain 3D U-Net", ALL, "5-fold cross-validation", "kidney 0.934, tumour 0.488, mean 0.711"
    ),
    "preactivation_unet_3d": Published(
        "pre-activation 3D U-Net", ALL, "5-fold cross-validation", "kidney 0.940, tumour 0.527, mean 0.733"
    ),
    "coarse_to_fine_vnet": Published(
        "coarse to fine, V-Nets",
        (0,),
        "199 cases to train, 11 chosen by tumour size to test",
        "IoU: kidney and tumour 0.97, tumour 0.79; 0.92 overall",
    ),
    "slicewise_unet_2d": Published(
        "slice-wise 2D U-Net", (0,), "240 cases to train, 60 to test", "loss and accuracy curves, no Dice of a label"
    ),
    "cascade_residual_unet": Published(
        "cascade of residual U-Nets",
        (0,),
        "190 cases to train, 20 to test",
        "kidney 0.979, tumour 0.852, mean 0.916",
    ),
    "recursive_unet_2d": Published(
        "recursive 2D U-Net", (0,), "80 % to train, 10 % to test", "kidney and tumour 0.91, tumour 0.25"
    ),
    "small_unet_3d": Published("small 3D U-Net", (0,), "not published", ""),
}
SYSTEMS = ("residual_unet_3d", "coarse_to_fine_vnet", "slicewise_unet_2d", "cascade_residual_unet", "recursive_unet_2d")


def title(name: str) -> str:
    """What a row is called."""
    if name == f"{PLANNED}_cascade":
        return "planned cascade"
    return PUBLISHED[name].title if name in PUBLISHED else Path(name).stem
