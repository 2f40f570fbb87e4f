"""Augmentation where the network is: loaded samples come in, an augmented batch goes out.

The plan's list says which transforms, in which order, with which probabilities and ranges.
Transforms of batchgenerators are the exception: `vary_loaded` applies them where patches are loaded.
"""

from autoseg.training.augmentation.copies import draw_way, samples_a_patch, transforms_of
from autoseg.training.augmentation.loaded import vary_loaded
from autoseg.training.augmentation.pipeline import Batch, Sample, make_batch
from autoseg.training.augmentation.spatial import draw_affine, draw_view, source_extent

__all__ = [
    "Batch",
    "Sample",
    "draw_affine",
    "draw_view",
    "draw_way",
    "make_batch",
    "samples_a_patch",
    "source_extent",
    "transforms_of",
    "vary_loaded",
]
