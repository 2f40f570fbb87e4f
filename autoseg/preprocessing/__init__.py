"""From files to the arrays a network sees, and back.

Comes in: images and label maps, the plan's `Preprocessing`. Goes out: cropped, normalised and
resampled cases in a store on disk; and, from a network's scores, label maps on the image's own grid (`restoring`,
which needs torch, and so does `patches`).
"""

from autoseg.preprocessing.dataset import prepare_dataset
from autoseg.preprocessing.locations import Locations
from autoseg.preprocessing.placement import Placement
from autoseg.preprocessing.preparing import place, prepare_image, prepare_labels
from autoseg.preprocessing.store import PreparedCase, open_prepared, prepared_key

__all__ = [
    "Locations",
    "Placement",
    "PreparedCase",
    "open_prepared",
    "place",
    "prepare_dataset",
    "prepare_image",
    "prepare_labels",
    "prepared_key",
]
