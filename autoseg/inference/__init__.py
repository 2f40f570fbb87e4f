"""Prediction: a model's folder and images come in, label maps on the images' own grids go out.

A window slides over the prepared image; overlapping windows, mirrored views and folds are averaged.
"""

from autoseg.inference.folder import Outcome, predict_cases
from autoseg.inference.model import Model, describe_machine, is_trained, read_model, write_model
from autoseg.inference.predictor import Prediction, Predictor
from autoseg.inference.record import read_labels

__all__ = [
    "Model",
    "Outcome",
    "Prediction",
    "Predictor",
    "describe_machine",
    "is_trained",
    "predict_cases",
    "read_labels",
    "read_model",
    "write_model",
]
