from __future__ import annotations

import numpy as np
import pytest

from autoseg.preprocessing.restoring import Restorer


@pytest.fixture
def restore_labels():
    """A function of the scores of a whole image, its placement and the labels: the label map on the image's grid."""

    def restore(scores, placement, labels):
        restorer = Restorer(placement, labels)
        restorer.add(scores)
        return restorer.label_map

    return restore


@pytest.fixture
def restore_probabilities():
    """The same for the probabilities, (outputs, z, y, x)."""

    def restore(scores, placement, labels):
        probabilities = np.empty((labels.outputs, *placement.native_shape), dtype=np.float32)
        Restorer(placement, labels, probabilities).add(scores)
        return probabilities

    return restore
