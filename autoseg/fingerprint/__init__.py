"""Measures a dataset.

Comes in: a `Dataset`, or nnU-Net's fingerprint of one. Goes out: its `Fingerprint`, facts only, which is
read from and written to fingerprint.json; and the crop to the non-zero region that preprocessing repeats.
"""

from autoseg.dataset.outliers import outliers
from autoseg.fingerprint.crop import nonzero_box
from autoseg.fingerprint.extract import extract_fingerprint
from autoseg.fingerprint.model import (
    CaseFacts,
    Fingerprint,
    ImageIntensities,
    Intensities,
    LabelFacts,
    Spread,
    read_fingerprint,
    write_fingerprint,
)
from autoseg.fingerprint.nnunet import is_nnunet_fingerprint_folder, read_nnunet_fingerprint

__all__ = [
    "CaseFacts",
    "Fingerprint",
    "ImageIntensities",
    "Intensities",
    "LabelFacts",
    "Spread",
    "extract_fingerprint",
    "is_nnunet_fingerprint_folder",
    "nonzero_box",
    "outliers",
    "read_fingerprint",
    "read_nnunet_fingerprint",
    "write_fingerprint",
]
