"""What is the same for every dataset: values nnU-Net found to hold everywhere.

They are in every plan so that a person can change them there.
"""

from __future__ import annotations

from typing import Any

from autoseg.plan.training import Poly
from autoseg.planner.decided import Decided

_VALUES: dict[str, tuple[Any, str]] = {
    "previous": (None, "The stage sees the image alone, not what another stage predicted."),
    "preprocessing.resize_to": (None, "Images are resampled to a voxel size, so that what is as large looks as large."),
    "preprocessing.image_order": (3, "Images are resampled with cubic splines, which keep edges sharp."),
    "preprocessing.coarse_axis_order": (
        0,
        "Across slices more than 3 times thicker than their pixels, resampling takes the nearest slice: "
        "splines would invent what lies between.",
    ),
    "preprocessing.label_order": (1, "The borders of each label are interpolated linearly, so they stay smooth."),
    "network.deep_supervision": (
        True,
        "While training, the coarser levels of the decoder predict, too, and are corrected, so that they learn sooner.",
    ),
    "sampling.foreground_fraction": (
        0.33,
        "A third of the patches is centred on a labelled voxel, so that small structures are seen often enough.",
    ),
    "sampling.foreground": (
        "by_case",
        "A case is drawn, then one of the labels in it, then one of its voxels, each with equal chances.",
    ),
    "sampling.grid": (None, "Patches lie anywhere in an image, so that none is seen twice."),
    "schedule": (Poly(), "The learning rate falls almost linearly to 0, so that training ends settled."),
    "stopping": (None, "Training takes all of its time: the learning rate falls to 0 by then, and not before."),
    "average": (None, "No average of the weights is kept: a learning rate that falls to 0 settles them as well."),
    "training.validation_cases": (
        None,
        "In training, patches are scored: that takes seconds. Whole cases are scored at its end.",
    ),
    "training.compile": (False, "Compiled steps were slower on the CPU they were timed on; on GPUs nobody timed them."),
    "training.gradient_clip": (12.0, "Longer gradients are shortened to 12; that tames the rare exploding step."),
    "training.seed": (0, "Any number does; the same one gives the same first weights and the same patches."),
    "inference.overlap": (0.5, "Windows overlap by half, so that every voxel lies well inside some window."),
    "inference.gaussian_sigma": (
        0.125,
        "A window's voxels weigh less towards its border (Gaussian of an eighth of the patch), where it sees "
        "little of the surroundings.",
    ),
    "inference.views": ((), "A model sees the image as it lies, and mirrored along the axes above."),
    "postprocessing": ((), "'autoseg select' learns which parts of a prediction to remove, once models are trained."),
    "inference.return_order": (
        1,
        "Scores are interpolated linearly on the way back to the image's grid, so that borders are smooth there.",
    ),
    "inference.air": (
        None,
        "All of an image is looked at; where air is known by its intensity, windows of air may be left out.",
    ),
}

# Path within a stage → decision.
# Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, Methods ("fixed parameters").
CONVENTIONS: dict[str, Decided[Any]] = {
    path: Decided(value, "conventions", {}, reason) for path, (value, reason) in _VALUES.items()
}
