"""The loss a plan describes: a weighted sum of terms over classes or regions.

Comes in: logits (batch, outputs, *axes) and class indices (batch, *axes). Goes out: one number, computed in float32.
Voxels of `IGNORE_CLASS` count in no term.
"""

from autoseg.training.losses.build import Loss, build_loss, deep_loss
from autoseg.training.losses.target import Target, make_target

__all__ = ["Loss", "Target", "build_loss", "deep_loss", "make_target"]
