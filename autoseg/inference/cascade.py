"""What a stage that builds on another sees of an image.

Comes in: an image, and the label map that the previous stage predicted for it; or a case for which both are prepared.
Goes out: the array for the networks.
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from autoseg.dataset import Description, Image
from autoseg.networks.fake import previous_channels
from autoseg.plan import Stage
from autoseg.preprocessing import Placement, PreparedCase, prepare_image, prepare_labels
from autoseg.preprocessing.previous import Rules, find_focus, masked, one_hot

logger = logging.getLogger(__name__)


def prepare_after(
    image: Image, prediction: NDArray[np.integer], stage: Stage, dataset: Description, name: str = ""
) -> tuple[NDArray[np.float32], Placement]:
    """Crops and masks an image by a prediction, prepares it, and adds the prediction as channels; as the plan says.

    Where the prediction is empty, all of the image is seen, with a warning.

    Args:
        image: in the file's intensities.
        prediction: of the previous stage, (z, y, x), file values, on the image's own grid.
        stage: that builds on it.
        dataset: its channels and labels.
        name: of the case, for the warning.

    Returns:
        (channels, z, y, x), and where it lies in the image.
    """
    previous, preprocessing = stage.previous, stage.preprocessing
    assert previous is not None
    focus = find_focus(prediction, image.grid, Rules(previous, preprocessing, dataset.labels))
    if not focus.found:
        case = f"case '{name}': " if name else ""
        logger.warning("warning: %s%s found nothing to crop or mask by; all of it is seen", case, previous.stage)
    array, placement = prepare_image(masked(image, focus, previous), preprocessing, focus.box)
    if previous.as_channels:
        class_map = prepare_labels(prediction, placement, dataset.labels, preprocessing.label_order)
        array = np.concatenate((array, one_hot(class_map, previous_channels(stage, dataset))))
    return array, placement


def read_prepared(case: PreparedCase, stage: Stage, dataset: Description) -> NDArray[np.float32]:
    """The array of a prepared case, (channels, z, y, x).

    In a cascade it has the prediction of a model that did not see the case either.

    Args:
        case: prepared for the stage.
        stage: that sees it.
        dataset: its channels and labels.
    """
    array: NDArray[np.float32] = case.image()[:]
    previous = previous_channels(stage, dataset)
    return np.concatenate((array, one_hot(case.previous()[:][0], previous))) if previous else array
