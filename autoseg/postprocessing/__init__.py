"""Postprocessing: a predicted label map comes in, one with fewer false components goes out.

Rules are plan data (`autoseg.plan.postprocessing`); here they are applied, and learnt from out-of-fold predictions.
"""

from autoseg.postprocessing.apply import apply
from autoseg.postprocessing.learn import LearningCase, Learnt, Tried, learn_rules

__all__ = ["LearningCase", "Learnt", "Tried", "apply", "learn_rules"]
