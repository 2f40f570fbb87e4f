from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autoseg.dataset import Dataset, read_case, read_image
from autoseg.errors import DatasetError


@pytest.fixture
def dataset(write_dataset):
    return Dataset.open(write_dataset())


def test_image_and_label_map(dataset, label_map):
    image, found = read_case(dataset.cases[0], dataset.description)
    np.testing.assert_array_equal(image.array, read_image(*dataset.cases[0].images).array)
    np.testing.assert_array_equal(found, label_map)


def test_no_label_map(dataset):
    with pytest.raises(DatasetError, match=r"^no label map\. Add it, or take the case out of the training cases\.$"):
        read_case(replace(dataset.cases[0], label=None), dataset.description)


def test_another_number_of_channels(dataset):
    description = dataset.description.model_copy(update={"channels": ("T1", "T2")})
    with pytest.raises(
        DatasetError, match=r"^the image has 1 channel, the dataset declares 2 \(T1, T2\)\. Correct the"
    ):
        read_case(dataset.cases[0], description)


def test_another_grid(dataset, write_volume, label_map):
    case = dataset.cases[0]
    write_volume(case.label, label_map[:3])
    with pytest.raises(DatasetError) as raised:
        read_case(case, dataset.description)
    assert str(raised.value) == (
        "label and image lie on different grids\n"
        f"  image  4 × 5 × 6 voxels of 3.00 × 2.00 × 1.00 mm   {case.images[0]}\n"
        f"  label  3 × 5 × 6 voxels of 3.00 × 2.00 × 1.00 mm   {case.label}\n"
        "Resample the label onto the image (nearest neighbour), or leave the case out."
    )
