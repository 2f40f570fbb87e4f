"""Measures a dataset.

Comes in: a `Dataset`. Goes out: its `Fingerprint`, facts only, which is read from and written to
fingerprint.json; and the crop to the non-zero region that preprocessing repeats.
"""

from autoseg.fingerprint.crop import nonzero_box
from autoseg.fingerprint.extract import extract_fingerprint
from autoseg.fingerprint.model import (
    CaseFacts,
    Fingerprint,
    Intensities,
    LabelFacts,
    Spread,
    read_fingerprint,
    write_fingerprint,
)

__all__ = [
    "CaseFacts",
    "Fingerprint",
    "Intensities",
    "LabelFacts",
    "Spread",
    "extract_fingerprint",
    "nonzero_box",
    "read_fingerprint",
    "write_fingerprint",
]
