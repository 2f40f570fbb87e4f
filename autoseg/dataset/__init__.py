"""What is on disk.

Comes in: the path of a folder, or of image files. Goes out: `Dataset` with its `Case`s and
`Labels`, images and label maps as arrays with their `Grid`, folds, and findings of the check.
"""

from autoseg.dataset.changes import files_hash
from autoseg.dataset.check import Finding, can_train, check_dataset
from autoseg.dataset.dataset import Case, Dataset
from autoseg.dataset.description import Description
from autoseg.dataset.folds import Fold, make_folds
from autoseg.dataset.images import (
    IMAGE_ENDINGS,
    Header,
    Image,
    named_like,
    read_grid,
    read_header,
    read_image,
    read_label_map,
    split_ending,
    write_image,
    write_label_map,
)
from autoseg.dataset.labels import IGNORE_CLASS, Labels, Region
from autoseg.dataset.layouts import files_for, find_cases, must_have_channels, open_dataset
from autoseg.dataset.reading import read_case
from autoseg.dataset.synthetic import generate_kidneys

__all__ = [
    "IGNORE_CLASS",
    "IMAGE_ENDINGS",
    "Case",
    "Dataset",
    "Description",
    "Finding",
    "Fold",
    "Header",
    "Image",
    "Labels",
    "Region",
    "can_train",
    "check_dataset",
    "files_for",
    "files_hash",
    "find_cases",
    "generate_kidneys",
    "make_folds",
    "must_have_channels",
    "named_like",
    "open_dataset",
    "read_case",
    "read_grid",
    "read_header",
    "read_image",
    "read_label_map",
    "split_ending",
    "write_image",
    "write_label_map",
]
