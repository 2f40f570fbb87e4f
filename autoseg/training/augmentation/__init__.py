"""Augmentation where the network is: loaded samples come in, an augmented batch goes out.

The plan's list says which transforms, in which order, with which probabilities and ranges.
"""

from autoseg.training.augmentation.pipeline import Batch, Sample, make_batch
from autoseg.training.augmentation.spatial import draw_affine, source_extent

__all__ = ["Batch", "Sample", "draw_affine", "make_batch", "source_extent"]
